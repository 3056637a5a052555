//! What every call takes. A call that is not in the table is refused, whoever makes it.

use super::role::Role;

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Whoever reaches the port; says nothing about anything.
    Anybody,
    /// People with at least this role.
    People(Role),
    /// Sidecars alone.
    Sidecars,
    /// Both.
    PeopleAndSidecars(Role),
}

impl Allowed {
    /// Whether a role may.
    #[must_use]
    pub fn allows(self, role: Role) -> bool {
        match self {
            Self::Anybody => true,
            Self::People(least) => role.includes(least),
            Self::Sidecars => role == Role::Sidecar,
            Self::PeopleAndSidecars(least) => role == Role::Sidecar || role.includes(least),
        }
    }
}

const VIEWER: Allowed = Allowed::People(Role::Viewer);
const OPERATOR: Allowed = Allowed::People(Role::Operator);
const APPROVER: Allowed = Allowed::People(Role::Approver);
const ADMIN: Allowed = Allowed::People(Role::Admin);

/// Every call that is served, by its full name, in the order of the names.
pub const POLICY: &[(&str, Allowed)] = &[
    ("grpc.health.v1.Health/Check", Allowed::Anybody),
    ("grpc.health.v1.Health/Watch", Allowed::Anybody),
    (
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Allowed::PeopleAndSidecars(Role::Viewer),
    ),
    ("serinus.v1.Admin/Backup", ADMIN),
    ("serinus.v1.Admin/GetInfo", VIEWER),
    ("serinus.v1.Admin/ListAudit", ADMIN),
    ("serinus.v1.Admin/ListSidecars", VIEWER),
    ("serinus.v1.Admin/ReleaseSidecar", ADMIN),
    ("serinus.v1.Events/Watch", VIEWER),
    ("serinus.v1.Models/GetModel", VIEWER),
    ("serinus.v1.Models/ListModels", VIEWER),
    ("serinus.v1.Models/SetStable", OPERATOR),
    (
        "serinus.v1.Outcomes/RecordOutcomes",
        Allowed::PeopleAndSidecars(Role::Operator),
    ),
    ("serinus.v1.Rollouts/Apply", OPERATOR),
    ("serinus.v1.Rollouts/Approve", APPROVER),
    ("serinus.v1.Rollouts/Cancel", OPERATOR),
    ("serinus.v1.Rollouts/Get", VIEWER),
    ("serinus.v1.Rollouts/GetRecording", VIEWER),
    ("serinus.v1.Rollouts/History", VIEWER),
    ("serinus.v1.Rollouts/List", VIEWER),
    ("serinus.v1.Rollouts/Pause", OPERATOR),
    ("serinus.v1.Rollouts/Promote", OPERATOR),
    // It takes the canary back, as a rollback does.
    ("serinus.v1.Rollouts/Reject", OPERATOR),
    ("serinus.v1.Rollouts/Resume", OPERATOR),
    ("serinus.v1.Rollouts/Rollback", OPERATOR),
    ("serinus.v1.Rollouts/SetSplit", OPERATOR),
    ("serinus.v1.Rollouts/Undo", OPERATOR),
    ("serinus.v1.Rollouts/Validate", VIEWER),
    ("serinus.v1.Rollouts/Watch", VIEWER),
    ("serinus.v1.Sidecars/Fetch", Allowed::Sidecars),
    ("serinus.v1.Sidecars/Report", Allowed::Sidecars),
    ("serinus.v1.Sidecars/Sync", Allowed::Sidecars),
];

/// What a call takes; `method` is its full name, `package.Service/Method`.
#[must_use]
pub fn of(method: &str) -> Option<(&'static str, Allowed)> {
    let at = POLICY.binary_search_by(|(name, _)| (*name).cmp(method));
    at.ok().and_then(|at| POLICY.get(at)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use serinus_proto::FILE_DESCRIPTOR_SET;
    use std::collections::BTreeSet;

    fn served() -> BTreeSet<String> {
        let sets = [
            FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        ];
        let mut names = BTreeSet::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    for method in &service.method {
                        let (package, service) = (file.package(), service.name());
                        names.insert(format!("{package}.{service}/{}", method.name()));
                    }
                }
            }
        }
        names
    }

    #[test]
    fn every_served_method_has_a_policy_and_nothing_else_has() {
        let served = served();
        assert!(served.len() > 20, "{served:?}");
        for method in &served {
            assert!(
                of(method).is_some(),
                "{method} is served, and POLICY lacks it"
            );
        }
        for (method, _) in POLICY {
            assert!(
                served.contains(*method),
                "{method} is in POLICY, and not served"
            );
        }
        assert!(POLICY.is_sorted_by_key(|(name, _)| *name));
        assert_eq!(of("serinus.v1.Rollouts/Delete"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn roles_of_people_include_each_other_and_sidecars_are_none() {
        use Role::{Admin, Approver, Operator, Sidecar, Viewer};
        let all = [Viewer, Operator, Approver, Admin, Sidecar];
        let may = |method: &str| {
            let (_, allowed) = of(method).unwrap();
            let roles = all.into_iter().filter(|role| allowed.allows(*role));
            roles.collect::<Vec<_>>()
        };
        assert_eq!(
            may("serinus.v1.Rollouts/Get"),
            [Viewer, Operator, Approver, Admin]
        );
        assert_eq!(
            may("serinus.v1.Rollouts/Apply"),
            [Operator, Approver, Admin]
        );
        assert_eq!(may("serinus.v1.Rollouts/Approve"), [Approver, Admin]);
        assert_eq!(may("serinus.v1.Admin/Backup"), [Admin]);
        assert_eq!(may("serinus.v1.Sidecars/Sync"), [Sidecar]);
        assert_eq!(
            may("serinus.v1.Outcomes/RecordOutcomes"),
            [Operator, Approver, Admin, Sidecar]
        );
    }
}
