use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn args(folder: &Path, threads: usize) -> Args {
    Args {
        scenarios: folder.to_owned(),
        replicas: 6,
        out: folder.join("out.csv"),
        only: Vec::new(),
        threads: Some(threads),
        seed: 0,
        no_history: false,
    }
}

/// The table without the column of processor time.
fn table(folder: &Path, threads: usize) -> Vec<Vec<String>> {
    let args = args(folder, threads);
    run(&args).expect("measured");
    let text = std::fs::read_to_string(args.out).expect("a table");
    let lines = text.split_terminator("\r\n");
    lines
        .map(|line| line.split(',').take(14).map(str::to_owned).collect())
        .collect()
}

const DEAD: &str = r#"{"name": "dead", "truth": "bad", "rate": 100, "canary": {"err": 1.0}}"#;
const SHORT: &str = r#"{"name": "a short one", "truth": "null", "rate": 100, "horizon": 20}"#;

#[test]
fn a_folder_becomes_a_table_whatever_the_threads() {
    let folder = folder(&[
        ("z.json", DEAD),
        ("b.json", SHORT),
        ("notes.txt", "no scenario"),
    ]);
    let rows = table(folder.path(), 1);
    assert_eq!(rows, table(folder.path(), 4));
    assert_eq!(rows.len(), 3);
    assert_eq!(
        rows[0].join(","),
        "scenario,truth,policy,reps,wrong,rollback,promote,inconclusive,t_rollback_med_s,t_rollback_p90_s,t_promote_med_s,bad_requests_med,bad_requests_mean,oracle_s"
    );
    assert_eq!(
        rows[1].join(","),
        "a short one,null,serinus,6,0.000,0.000,0.000,1.000,,,,,,"
    );
    assert_eq!(
        rows[2][..8].join(","),
        "dead,bad,serinus,6,0.000,1.000,0.000,0.000"
    );
    assert_eq!(rows[2][10], "", "never promoted");
    assert!(rows[2][8].parse::<f64>().expect("seconds") < 20.0);
}

#[test]
fn a_mistake_names_file_and_field() {
    let folder = folder(&[("odd.json", r#"{"name": "odd", "truth": "bad", "rate": -1}"#)]);
    let error = run(&args(folder.path(), 1))
        .expect_err("a mistake")
        .to_string();
    assert!(
        error.contains("odd.json") && error.contains("rate is -1"),
        "{error}"
    );
}

#[test]
fn a_folder_without_scenarios_is_no_success() {
    let folder = folder(&[("readme.md", "")]);
    let error = run(&args(folder.path(), 1))
        .expect_err("nothing there")
        .to_string();
    assert!(error.contains("no scenario file"), "{error}");
}
