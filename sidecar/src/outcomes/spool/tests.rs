use super::*;
use proptest::prelude::*;

fn outcome(row: u32) -> v1::Outcome {
    v1::Outcome {
        prediction_id: "i".repeat(62),
        metric: "accuracy".into(),
        value: 1.0,
        row,
    }
}

fn outcomes(rows: std::ops::Range<u32>) -> Vec<v1::Outcome> {
    rows.map(outcome).collect()
}

fn rows(batch: &Batch) -> Vec<u32> {
    batch.items.iter().map(|item| item.row).collect()
}

fn open(directory: &Path) -> Spool {
    Spool::open(directory, 64 << 20).unwrap().0
}

#[test]
fn what_is_released_is_gone_and_the_rest_survives() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    spool.append(&outcomes(0..10)).unwrap();
    assert!(spool.read(100).unwrap().items.is_empty(), "not on disk yet");
    spool.sync().unwrap();
    let batch = spool.read(4).unwrap();
    assert_eq!(rows(&batch), [0, 1, 2, 3]);
    assert_eq!(rows(&spool.read(4).unwrap()), [0, 1, 2, 3]);
    spool.release(&batch).unwrap();
    assert_eq!(rows(&spool.read(2).unwrap()), [4, 5]);
    drop(spool);
    let mut spool = open(directory.path());
    let all = spool.read(100).unwrap();
    assert_eq!(
        rows(&all),
        (0..10).collect::<Vec<_>>(),
        "a restart reads the segment again"
    );
    spool.release(&all).unwrap();
    assert_eq!(spool.waiting_bytes(), 0);
    drop(spool);
    assert!(open(directory.path()).read(100).unwrap().items.is_empty());
}

#[test]
fn a_half_written_end_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    spool.append(&outcomes(0..3)).unwrap();
    spool.sync().unwrap();
    let last = spool.segments.back().unwrap();
    let whole = last.len;
    last.file.write_all_at(&[1, 2, 3], whole).unwrap();
    drop(spool);
    let (mut spool, dropped) = Spool::open(directory.path(), 1 << 20).unwrap();
    assert_eq!(dropped, 3);
    spool.append(&outcomes(3..4)).unwrap();
    spool.sync().unwrap();
    assert_eq!(rows(&spool.read(9).unwrap()), [0, 1, 2, 3]);
}

#[test]
fn a_full_spool_says_so_and_takes_all_or_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), 1000).unwrap();
    spool.append(&outcomes(0..9)).unwrap();
    let error = spool.append(&outcomes(9..20)).unwrap_err();
    assert!(matches!(error, SpoolError::Full { limit: 1000, .. }));
    assert!(error.to_string().contains("send again later"));
    spool.sync().unwrap();
    let batch = spool.read(100).unwrap();
    assert_eq!(batch.items.len(), 9);
    spool.release(&batch).unwrap();
    spool.append(&outcomes(9..18)).unwrap();
}

#[test]
fn segments_are_rolled_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    for part in 0..12 {
        spool
            .append(&outcomes(part * 10_000..(part + 1) * 10_000))
            .unwrap();
        spool.sync().unwrap();
    }
    assert!(spool.segments.len() > 1);
    drop(spool);
    let mut spool = open(directory.path());
    let mut next = 0;
    loop {
        let batch = spool.read(10_000).unwrap();
        if batch.items.is_empty() {
            break;
        }
        for row in rows(&batch) {
            assert_eq!(row, next);
            next += 1;
        }
        spool.release(&batch).unwrap();
    }
    assert_eq!(next, 120_000);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert_eq!(spool.waiting_bytes(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Append(u32),
    Sync,
    Read(usize),
    Release,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u32..50).prop_map(Step::Append),
        3 => Just(Step::Sync),
        4 => (1usize..80).prop_map(Step::Read),
        3 => Just(Step::Release),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn everything_is_read_in_order_until_released(steps in prop::collection::vec(step(), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path());
        let (mut appended, mut released) = (0u32, 0u32);
        let mut held: Option<Batch> = None;
        for step in steps {
            match step {
                Step::Append(n) => {
                    spool.append(&outcomes(appended..appended + n)).unwrap();
                    appended += n;
                }
                Step::Sync => spool.sync().unwrap(),
                Step::Read(most) => {
                    let batch = spool.read(most).unwrap();
                    if let Some(first) = batch.items.first() {
                        // Never beyond what was released: a restart may only go back.
                        prop_assert!(first.row <= released);
                    }
                    prop_assert!(rows(&batch).windows(2).all(|pair| pair[1] == pair[0] + 1));
                    held = Some(batch);
                }
                Step::Release => if let Some(batch) = held.take() {
                    spool.release(&batch).unwrap();
                    released = released.max(batch.items.last().map_or(0, |last| last.row + 1));
                },
                Step::Restart => {
                    drop(spool);
                    held = None;
                    spool = open(directory.path());
                }
            }
        }
        spool.sync().unwrap();
        let mut last = None;
        loop {
            let batch = spool.read(1000).unwrap();
            let Some(item) = batch.items.last() else { break };
            last = Some(item.row);
            spool.release(&batch).unwrap();
        }
        if released < appended {
            prop_assert_eq!(last, Some(appended - 1));
        }
    }
}
