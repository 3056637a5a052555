//! How often faults strike, and which are refused.

use super::*;

fn with(change: impl FnOnce(&mut Fault)) -> Fault {
    let mut fault = Fault::default();
    change(&mut fault);
    fault
}

#[test]
fn errors_come_at_their_rate_and_the_seed_repeats_them() {
    let draw = |seed| {
        let faults = Faults::new(0);
        faults
            .set(with(|f| {
                (f.error_rate, f.status, f.seed) = (0.2, 503, Some(seed))
            }))
            .unwrap();
        (0..5000).map(|_| faults.next().status).collect::<Vec<_>>()
    };
    let first = draw(1);
    let errors = first
        .iter()
        .flatten()
        .filter(|status| **status == 503)
        .count();
    assert!(
        (850..1150).contains(&errors),
        "{errors} of 5000 at a rate of 0.2"
    );
    assert_eq!(first, draw(1));
    assert_ne!(first, draw(2));
}

#[test]
fn the_default_harms_nobody_and_one_harms_everybody() {
    let faults = Faults::new(9);
    let harmless = Injection {
        delay: Duration::ZERO,
        hang: false,
        status: None,
        wrong: false,
    };
    assert!((0..1000).all(|_| faults.next() == harmless));
    faults
        .set(with(|f| (f.error_rate, f.wrong_rate) = (1.0, 1.0)))
        .unwrap();
    assert!((0..1000).all(|_| faults.next()
        == Injection {
            status: Some(500),
            wrong: true,
            ..harmless
        }));
    assert_eq!(faults.report().infer_requests, 2000);
}

#[test]
fn fields_out_of_range_are_refused_and_change_nothing() {
    let faults = Faults::new(0);
    for (fault, field) in [
        (with(|f| f.error_rate = 1.5), "error_rate"),
        (with(|f| f.error_rate = f64::NAN), "error_rate"),
        (with(|f| f.wrong_rate = -0.1), "wrong_rate"),
        (with(|f| f.status = 200), "status"),
        (with(|f| f.latency_ms = u64::MAX), "latency_ms"),
    ] {
        let error = faults.set(fault).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    assert_eq!(faults.report().fault, Fault::default());
}
