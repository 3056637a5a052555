//! Which path is which RPC.

use percent_encoding::percent_decode_str;

/// How a stream of answers is written when the caller asks for no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// One message.
    Once,
    /// Server-sent events.
    Events,
    /// A message per line.
    Lines,
}

/// What comes before the path. Reads are GET and everything else is POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One RPC.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    /// `{field}` takes a segment, up to the verb.
    template: &'static str,
    /// Without the package.
    pub(super) service: &'static str,
    pub(super) rpc: &'static str,
    pub(super) answer: Answer,
    /// Of the body, at most.
    pub(super) bytes: usize,
}

/// Commands and plans are a few kilobytes.
const COMMAND: usize = 1024 * 1024;
/// 10,000 outcomes.
const OUTCOMES: usize = 4 * 1024 * 1024;

const fn route(
    method: Method,
    template: &'static str,
    service: &'static str,
    rpc: &'static str,
) -> Route {
    Route {
        method,
        template,
        service,
        rpc,
        answer: Answer::Once,
        bytes: COMMAND,
    }
}

const fn stream(
    template: &'static str,
    service: &'static str,
    rpc: &'static str,
    answer: Answer,
) -> Route {
    Route {
        answer,
        ..route(Method::Get, template, service, rpc)
    }
}

/// Every RPC but `Sidecars.Sync` and `Sidecars.Report`, whose streams go both ways.
pub(super) static ROUTES: [Route; 27] = [
    route(Method::Get, "/v1/rollouts", "Rollouts", "List"),
    route(Method::Post, "/v1/rollouts", "Rollouts", "Apply"),
    route(
        Method::Post,
        "/v1/rollouts:validate",
        "Rollouts",
        "Validate",
    ),
    route(Method::Get, "/v1/rollouts/{rollout}", "Rollouts", "Get"),
    stream(
        "/v1/rollouts/{rollout}:watch",
        "Rollouts",
        "Watch",
        Answer::Events,
    ),
    verb("/v1/rollouts/{rollout}:pause", "Pause"),
    verb("/v1/rollouts/{rollout}:resume", "Resume"),
    verb("/v1/rollouts/{rollout}:approve", "Approve"),
    verb("/v1/rollouts/{rollout}:reject", "Reject"),
    verb("/v1/rollouts/{rollout}:promote", "Promote"),
    verb("/v1/rollouts/{rollout}:rollback", "Rollback"),
    verb("/v1/rollouts/{rollout}:undo", "Undo"),
    verb("/v1/rollouts/{rollout}:cancel", "Cancel"),
    verb("/v1/rollouts/{rollout}:setSplit", "SetSplit"),
    route(
        Method::Get,
        "/v1/rollouts/{rollout}/history",
        "Rollouts",
        "History",
    ),
    stream(
        "/v1/rollouts/{rollout}/recording",
        "Rollouts",
        "GetRecording",
        Answer::Lines,
    ),
    route(Method::Get, "/v1/models", "Models", "ListModels"),
    route(Method::Get, "/v1/models/{model}", "Models", "GetModel"),
    route(
        Method::Post,
        "/v1/models/{model}:setStable",
        "Models",
        "SetStable",
    ),
    stream("/v1/events", "Events", "Watch", Answer::Events),
    Route {
        bytes: OUTCOMES,
        ..route(Method::Post, "/v1/outcomes", "Outcomes", "RecordOutcomes")
    },
    route(Method::Get, "/v1/sidecars", "Admin", "ListSidecars"),
    route(
        Method::Post,
        "/v1/sidecars/{sidecar}:release",
        "Admin",
        "ReleaseSidecar",
    ),
    route(Method::Post, "/v1/sidecars:fetch", "Sidecars", "Fetch"),
    route(Method::Get, "/v1/info", "Admin", "GetInfo"),
    stream("/v1/audit", "Admin", "ListAudit", Answer::Lines),
    stream("/v1/backup", "Admin", "Backup", Answer::Lines),
];

const fn verb(template: &'static str, rpc: &'static str) -> Route {
    route(Method::Post, template, "Rollouts", rpc)
}

/// What a request line means.
#[derive(Debug)]
pub(super) enum Found {
    /// The route, and the fields that the path gives.
    Route(&'static Route, Vec<(&'static str, String)>),
    /// The path is known, with these methods only.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

/// Finds the route of a request.
pub(super) fn find(method: &str, path: &str) -> Found {
    let mut methods = Vec::new();
    for route in &ROUTES {
        let Some(fields) = matches(route.template, path) else {
            continue;
        };
        if route.method.name() == method {
            return Found::Route(route, fields);
        }
        methods.push(route.method.name());
    }
    if methods.is_empty() {
        return Found::Nothing;
    }
    Found::OtherMethods(methods)
}

/// The fields that a path gives to a template, if it is of its form. A verb is told by its colon, so that a name that
/// has one itself is written with `%3A`.
fn matches(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut fields = Vec::new();
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        let (wanted, given) = match (wanted.next(), given.next()) {
            (None, None) => return Some(fields),
            (Some(wanted), Some(given)) => (wanted, given),
            _ => return None,
        };
        let (name, verb) = cut(wanted);
        let (value, asked) = cut(given);
        if verb != asked {
            return None;
        }
        let field = name
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        match field {
            Some(field) => {
                let value = percent_decode_str(value).decode_utf8().ok()?;
                if value.is_empty() {
                    return None;
                }
                fields.push((field, value.into_owned()));
            }
            None if name == value => {}
            None => return None,
        }
    }
}

fn cut(segment: &str) -> (&str, Option<&str>) {
    match segment.split_once(':') {
        Some((name, verb)) => (name, Some(verb)),
        None => (segment, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::schema;
    use std::collections::BTreeSet;

    #[test]
    fn every_rpc_has_one_route_but_those_that_clients_stream_to() {
        let mut rpcs = BTreeSet::new();
        for service in schema::pool().services() {
            if service.package_name() != "serinus.v1" {
                continue;
            }
            for method in service.methods() {
                let name = (service.name().to_owned(), method.name().to_owned());
                let routes = ROUTES
                    .iter()
                    .filter(|route| (route.service, route.rpc) == (service.name(), method.name()));
                let routes: Vec<&Route> = routes.collect();
                if method.is_client_streaming() {
                    assert!(routes.is_empty(), "{name:?}");
                    continue;
                }
                assert_eq!(routes.len(), 1, "{name:?}");
                let streams = routes[0].answer != Answer::Once;
                assert_eq!(streams, method.is_server_streaming(), "{name:?}");
                rpcs.insert(name);
            }
        }
        assert_eq!(rpcs.len(), ROUTES.len());
    }

    #[test]
    fn the_fields_of_paths_are_fields_of_requests() {
        for route in &ROUTES {
            let method = schema::method(route.service, route.rpc);
            let segments = route.template.split(['/', ':']);
            for field in segments.filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')) {
                let input = method.input();
                assert!(input.get_field_by_name(field).is_some(), "{route:?}");
            }
        }
    }

    fn found(method: &str, path: &str) -> String {
        match find(method, path) {
            Found::Route(route, fields) => format!("{} {fields:?}", route.rpc),
            Found::OtherMethods(methods) => methods.join(" "),
            Found::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn paths_are_found() {
        let cases = [
            ("GET", "/v1/rollouts", "List []"),
            ("POST", "/v1/rollouts", "Apply []"),
            ("PUT", "/v1/rollouts", "GET POST"),
            ("POST", "/v1/rollouts:validate", "Validate []"),
            (
                "POST",
                "/v1/rollouts/a:pause",
                "Pause [(\"rollout\", \"a\")]",
            ),
            (
                "GET",
                "/v1/models/a%2Fb%3Ac",
                "GetModel [(\"model\", \"a/b:c\")]",
            ),
            ("GET", "/v1/rollouts/a:pause", "POST"),
            ("POST", "/v1/rollouts/a:jump", "nothing"),
            ("POST", "/v1/rollouts/:pause", "nothing"),
            ("GET", "/v1/rollouts/", "nothing"),
            ("GET", "/v1/rollouts/a/b/c", "nothing"),
            ("GET", "/v1/models/%ff", "nothing"),
        ];
        for (method, path, expected) in cases {
            assert_eq!(found(method, path), expected, "{path}");
        }
    }
}
