use super::*;
use std::io::Write as _;

const FULL: &str = r#"
name = "host-a"
control_plane = "http://127.0.0.1:7400"
state_dir = "/var/lib/serinus"
drain = "3s"
[limits]
idle_timeout = "1m30s"
[[model]]
name = "recommender"
stable = ["http://127.0.0.1:9001"]
endpoints.v2 = ["http://127.0.0.1:9002", "http://127.0.0.1:9003"]
[[model]]
name = "ranker"
match = "path:/rank"
stable = ["http://127.0.0.1:9011"]
"#;

fn from(text: &str, env: &[(&str, &str)], args: Args) -> Result<Sidecar, LoadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let args = Args {
        config: Some(file.path().to_owned()),
        ..args
    };
    let env = env
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect::<Vec<_>>();
    load(&args, env, "box")
}

fn mistakes(text: &str) -> String {
    from(text, &[], Args::default()).unwrap_err().to_string()
}

#[test]
fn a_whole_file_is_read_and_defaults_are_filled() {
    let config = from(FULL, &[], Args::default()).unwrap();
    assert_eq!(config.name, "host-a");
    assert_eq!(crate::listen::list(&config.listen), "127.0.0.1:7410");
    assert_eq!(config.drain, Duration::from_secs(3));
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(90));
    assert_eq!(config.limits.head_bytes, 64 << 10);
    assert_eq!(config.models[0].matching, None);
    assert_eq!(config.models[0].endpoints["v2"].len(), 2);
    assert_eq!(config.models[0].salt, "recommender");
    assert_eq!(config.models[1].matching, Some("path:/rank".into()));
}

#[test]
fn variables_and_flags_win() {
    let env = [
        ("SERINUS_SIDECAR_NAME", "from-env"),
        ("SERINUS_SIDECAR_LIMITS__CONNECTIONS", "7"),
        ("SERINUS_SIDECAR_CONFIG", "not a key"),
    ];
    let args = Args {
        admin: Some("127.0.0.1:0".parse().unwrap()),
        models: vec!["m=http://127.0.0.1:1,http://127.0.0.1:2".into()],
        ..Args::default()
    };
    let config = from(FULL, &env, args).unwrap();
    assert_eq!(config.name, "from-env");
    assert_eq!(config.limits.connections, 7);
    assert_eq!(config.admin.port(), 0);
    assert_eq!(config.models.len(), 1);
    assert_eq!(config.models[0].stable.len(), 2);
}

#[test]
fn the_default_name_is_stable_across_restarts() {
    let one = "[[model]]\nname = \"m\"\nstable = [\"http://127.0.0.1:1\"]";
    assert_eq!(from(one, &[], Args::default()).unwrap().name, "box:7410");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let text = mistakes(
        r#"
control_plane = "h2c://cp:7400"
workers = 0
[limits]
connect_timeout = "0s"
[[model]]
name = "a b"
stable = []
split = { v2 = 10.0 }
[[model]]
name = "m"
match = "any"
key = "user"
stable = ["127.0.0.1:9001"]
[[model]]
name = "m"
match = "any"
stable = ["http://127.0.0.1:9001"]
"#,
    );
    for part in [
        "control_plane: \"h2c://cp:7400\": write http:// or https://",
        "state_dir: name a directory",
        "workers: 0",
        "limits.connect_timeout",
        "model[0].name",
        "model[0].stable: there is none",
        "model[0].split.v2: 10 is above 1",
        "model[0].split.v2: unknown",
        "model[0].split: a fixed split and a control plane",
        "model[1].key",
        "model[1].stable",
        "model[2].name: \"m\" is there twice",
        "model[2].match: \"any\" is taken",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn rewrites_name_what_a_variant_is_called() {
    let model = |rewrites: &str| {
        format!(
            "[[model]]\nname = \"m\"\nstable = [\"http://a:1\"]\nstable_name = \"v1\"\nendpoints.v2 = [\"http://a:1\"]\n{rewrites}"
        )
    };
    let good = model(
        "rewrite.v1 = { version = \"1\" }\nrewrite.v2 = { model = \"digits\", version = \"2\", restore = true, stream = \"wrapped\" }",
    );
    let config = from(&good, &[], Args::default()).unwrap();
    let spec = config.models[0].spec().unwrap();
    assert_eq!(spec.rewrites["v1"].version.as_deref(), Some("1"));
    assert_eq!(spec.rewrites["v2"].model.as_deref(), Some("digits"));
    let text = toml::to_string(&config).unwrap();
    let again = from(&text, &[], Args::default()).unwrap();
    assert_eq!(again.models[0].rewrite, config.models[0].rewrite);
    let text = mistakes(&model(
        "rewrite.v1 = { model = \"\" }\nrewrite.v2 = { version = \"2\", label = \"x\" }\nrewrite.v3 = { version = \"3\" }",
    ));
    for part in [
        "model[0].rewrite.v1.model: is empty",
        "model[0].rewrite.v1: names nothing",
        "model[0].rewrite.v2.label: given beside version",
        "model[0].rewrite.v3: unknown",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(mistakes(&model("rewrite.v1 = { name = \"x\" }")).contains("unknown field"));
}

#[test]
fn unknown_keys_and_bad_texts_are_refused() {
    assert!(mistakes("lisen = \"x\"").contains("lisen"));
    assert!(mistakes("drain = \"10\"").contains("is no duration"));
    let model = "[[model]]\nname = \"m\"\nstable = [\"http://a:1\"]\nmatch = \"regex:x\"";
    assert!(mistakes(model).contains("match: \"regex:x\" is unknown"));
    assert!(mistakes("").contains("model: there is none"));
}

#[test]
fn a_split_that_names_stable_is_whole() {
    let model = |split: &str| {
        format!(
            "[[model]]\nname = \"m\"\nstable = [\"http://a:1\"]\nstable_name = \"v1\"\nendpoints.v2 = [\"http://a:2\"]\nsplit = {split}"
        )
    };
    assert!(from(&model("{ v2 = 0.1 }"), &[], Args::default()).is_ok());
    assert!(from(&model("{ v1 = 0.9, v2 = 0.1 }"), &[], Args::default()).is_ok());
    assert!(mistakes(&model("{ v1 = 0.8, v2 = 0.1 }")).contains("sum to 0.9"));
}

const CHOOSING: &str = r#"
[limits]
inspect_bytes = 4096
[[model]]
name = "m"
stable = ["http://a:1"]
ready_path = "/warm?x=1"
endpoints.v2 = ["http://a:2"]
split = { v2 = 0.1 }
key = "cookie:sid"
sticky = true
targeting = [
    { variant = "v2", header = { name = "x-beta", equals = "1" } },
    { variant = "stable", cookie = { name = "group", in = ["a", "b"] } },
]
"#;

#[test]
fn what_chooses_is_read_and_checked() {
    let config = from(CHOOSING, &[], Args::default()).unwrap();
    let spec = config.models[0].spec().unwrap();
    assert_eq!(spec.ready_path.as_deref(), Some("/warm?x=1"));
    let split = spec.split.unwrap();
    assert!(split.sticky);
    let variants: Vec<_> = split.targeting.iter().map(|rule| &rule.variant).collect();
    assert_eq!(variants, ["v2", "stable"]);
    let text = toml::to_string(&config).unwrap();
    let again = from(&text, &[], Args::default()).unwrap();
    assert_eq!(toml::to_string(&again).unwrap(), text);
    let with = |old: &str, new: &str| mistakes(&CHOOSING.replace(old, new));
    assert!(with("cookie:sid", "json:/user").contains("model[0].sticky: goes with"));
    assert!(with("cookie:sid", "json:user").contains("model[0].key: \"user\" is no JSON pointer"));
    assert!(with("/warm?x=1", "warm").contains("model[0].ready_path: \"warm\" is no path"));
    assert!(with("split =", "#").contains("model[0]: sticky and targeting go with a fixed split"));
    assert!(with(", equals = \"1\"", "").contains("model[0].targeting[0]: write one of equals"));
    assert!(with("header = {", "body = {").contains("unknown field `body`"));
    assert!(with("4096", "1000000000").contains("limits.inspect_bytes: more than"));
}

#[test]
fn what_is_printed_can_be_loaded() {
    let config = from(FULL, &[], Args::default()).unwrap();
    let text = toml::to_string(&config).unwrap();
    let again = from(&text, &[], Args::default()).unwrap();
    assert_eq!(toml::to_string(&again).unwrap(), text);
    assert_eq!(again.limits, config.limits);
}

#[test]
fn certificates_are_named_for_all_for_a_model_and_for_the_control_plane() {
    let good = r#"
control_plane = ["https://cp:7400", "http://127.0.0.1:7400"]
state_dir = "/var/lib/serinus"
[tls.control_plane]
ca = "/etc/serinus/ca.pem"
[[model]]
name = "m"
stable = ["https://m"]
tls.ca = "/nowhere/own.pem"
"#;
    let config = from(good, &[], Args::default()).unwrap();
    let own = config.models[0].tls.as_ref().unwrap();
    assert_eq!(own.ca.as_deref(), Some("/nowhere/own.pem".as_ref()));
    let text = toml::to_string(&config).unwrap();
    let again = from(&text, &[], Args::default()).unwrap();
    assert_eq!(again.models[0].tls, config.models[0].tls);
    let error = config.load_tls().unwrap_err().to_string();
    assert!(
        error.starts_with("model[0].tls.ca: read /nowhere/own.pem"),
        "{error}"
    );
    let bad = good
        .replace("https://cp", "http://cp")
        .replace("tls.ca", "tls.key");
    let text = mistakes(&bad);
    for part in [
        "tls.control_plane: no address in control_plane begins with https://",
        "model[0].tls.cert: missing",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}
