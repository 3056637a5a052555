//! Names and addresses.

use super::{Context, rewrite};
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use serinus_proto::v1::{Plan, Variant};

const MOST_ENDPOINTS: usize = 64;

/// What the system has room for.
const LONGEST_SOCKET: usize = 107;

/// Checks the model's name, the stable variant and the canary.
pub(super) fn check(plan: &Plan, context: Context, problems: &Problems) {
    name(
        &plan.model,
        &MODEL,
        "recommender",
        &Path::of("model"),
        problems,
    );
    let stable = Path::of("stable");
    match &plan.stable {
        Some(variant) => check_variant(variant, "v1", &stable, problems),
        None => problems.add(
            &stable,
            "missing, and the model has no stable variant yet; write stable: {name: v1, endpoints: [http://127.0.0.1:9001]}",
        ),
    }
    canaries(plan, context, problems);
    rewrite::pins(plan, problems);
}

fn canaries(plan: &Plan, context: Context, problems: &Problems) {
    match plan.canaries.len() {
        0 => problems.add(
            &Path::of("canary"),
            "missing; write canary: {name: v2, endpoints: [http://127.0.0.1:9002]}",
        ),
        1 => {}
        _ => problems.add(
            &Path::of("canaries"),
            "not supported in this version: more than one canary",
        ),
    }
    let stable = plan.stable.as_ref().map(|stable| stable.name.as_str());
    for (index, canary) in plan.canaries.iter().enumerate() {
        let path = context.canary(plan, index);
        check_variant(canary, "v2", &path, problems);
        if canary.endpoints.is_empty() {
            problems.add(
                &path.field("endpoints"),
                "missing; write where it is served, such as [http://127.0.0.1:9002]",
            );
        }
        if canary.name.is_empty() {
            continue;
        }
        let earlier = plan.canaries[..index]
            .iter()
            .any(|other| other.name == canary.name);
        if stable == Some(canary.name.as_str()) {
            let message = format!(
                "{} is the stable variant; a canary needs a name of its own",
                canary.name
            );
            problems.add(&path.field("name"), message);
        } else if earlier {
            let message = format!(
                "{} is another canary's name; each needs its own",
                canary.name
            );
            problems.add(&path.field("name"), message);
        }
    }
}

fn check_variant(variant: &Variant, example: &str, path: &Path, problems: &Problems) {
    name(
        &variant.name,
        &VARIANT,
        example,
        &path.field("name"),
        problems,
    );
    if let Some(of) = &variant.rewrite {
        rewrite::check(of, &path.field("rewrite"), problems);
    }
    let list = path.field("endpoints");
    if variant.endpoints.len() > MOST_ENDPOINTS {
        let message = format!(
            "{} endpoints; at most {MOST_ENDPOINTS}",
            variant.endpoints.len()
        );
        problems.add(&list, message);
    }
    for (index, url) in variant.endpoints.iter().enumerate() {
        if let Err(message) = check_url(url) {
            problems.add(&list.item(index), message);
        } else if variant.endpoints[..index].contains(url) {
            problems.add(&list.item(index), format!("{url} is given twice; keep one"));
        }
    }
}

/// What a name may look like.
struct NameForm {
    marks: &'static str,
    longest: usize,
}

const MODEL: NameForm = NameForm {
    marks: "._-/",
    longest: 253,
};
const VARIANT: NameForm = NameForm {
    marks: "._-",
    longest: 63,
};

fn name(name: &str, form: &NameForm, example: &str, path: &Path, problems: &Problems) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || form.marks.contains(c);
    if name.is_empty() {
        problems.add(path, format!("missing; write a name such as {example}"));
    } else if let Some(wrong) = name.chars().find(|&c| !allowed(c)) {
        let shown: String = name.chars().take(60).collect();
        let marks: Vec<String> = form.marks.chars().map(|mark| format!("'{mark}'")).collect();
        let message = format!(
            "\"{}\" contains {wrong:?}; use letters, digits and {}, as in {example}",
            shown.escape_default(),
            marks.join(" "),
        );
        problems.add(path, message);
    } else if name.len() > form.longest {
        let message = format!("{} characters long; at most {}", name.len(), form.longest);
        problems.add(path, message);
    }
}

fn check_url(url: &str) -> Result<(), String> {
    let shown: String = url
        .chars()
        .take(80)
        .flat_map(char::escape_default)
        .collect();
    let wrong = || {
        format!(
            "\"{shown}\" is no address; write such as http://127.0.0.1:9002, https://..., h2c://... or unix:/run/model.sock"
        )
    };
    if let Some(path) = url.strip_prefix("unix:") {
        return if is_socket(path) {
            Ok(())
        } else {
            Err(wrong())
        };
    }
    let schemes = ["http://", "https://", "h2c://"];
    let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
    let rest = rest.ok_or_else(wrong)?;
    if url.len() > 2048
        || url
            .chars()
            .any(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '@' | '\\' | '"'))
    {
        return Err(wrong());
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = split_port(authority).ok_or_else(wrong)?;
    let port_is_right = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host.is_empty() || !port_is_right {
        return Err(wrong());
    }
    Ok(())
}

/// A socket's absolute path, and perhaps `:/prefix`.
fn is_socket(text: &str) -> bool {
    let (path, prefix) = text.find(":/").map_or((text, ""), |at| text.split_at(at));
    let absolute = path.len() > 1 && path.starts_with('/') && !path.starts_with("//");
    let longest = prefix.len() <= 2048 && path.len() <= LONGEST_SOCKET;
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\' | '"');
    absolute && longest && text.chars().all(plain)
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return match tail.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => tail.is_empty().then_some((host, None)),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    host.chars().all(allowed).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::check_url;

    #[test]
    fn addresses() {
        for url in [
            "http://127.0.0.1:9001",
            "http://models.example",
            "http://models.example:80/base/path",
            "http://[::1]:9001",
            "http://[::1]",
            "https://models.example/base",
            "h2c://127.0.0.1:8001",
            "unix:/run/model.sock",
            "unix:/run/model.sock:/v1",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for url in [
            "",
            "127.0.0.1:9001",
            "http://",
            "http://:80",
            "http://h:0",
            "http://h:99999",
            "http://h:x",
            "http://u@h",
            "http://h?q",
            "http://h h",
            "ftp://h",
            "unix:run/x",
            "unix:/",
            "unix://run/x",
            "unix:/run/x:/a?b",
            "http://[::1",
            "http://[x]:1",
            "http://h:",
        ] {
            assert!(
                check_url(url)
                    .unwrap_err()
                    .contains("http://127.0.0.1:9002"),
                "{url}"
            );
        }
    }
}
