//! Reports that come late, twice and shuffled; that cannot be true; that are lies.

use super::*;
use futures_util::StreamExt as _;
use serinus_proto::v1::report_ack::Refusal;
use serinus_proto::v1::sidecars_client::SidecarsClient;
use serinus_proto::v1::{Cause, State};
use serinus_tests::between::{Between, Treatment};
use serinus_tests::cluster::Extra;
use serinus_tests::eventually::eventually;
use serinus_tests::load::Load;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

fn of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn behind(between: &Between) -> Extra {
    Extra {
        control_planes: vec![between.url.clone()],
        ..Extra::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn reports_that_come_late_twice_and_shuffled_count_once() -> Result<()> {
    let mut cluster = Cluster::start(0).await?;
    let between = Between::start(cluster.grpc(), 5, &cluster.trace).await?;
    for _ in 0..3 {
        cluster.add_sidecar(behind(&between)).await?;
    }
    let client = cluster.client()?;
    let id = client.apply(&cluster.plan(STAYS)?).await?.id;
    between.treat(Treatment::Shuffled);
    let (traffic, _) = cluster.load(&Load::default())?;
    let tally = between.tally();
    let enough = eventually("disorder", LIMIT, || async {
        let repeated = of(&tally.sent) > of(&tally.received) + 10;
        let disorder = repeated && of(&tally.overtaken) > 20 && of(&tally.resent) > 5;
        Ok(disorder.then_some(()))
    });
    enough.await?;
    let sent = traffic.stop().await;
    between.treat(Treatment::Faithful);
    let counted = |rollout: &v1::Rollout| {
        let traffic = rollout.traffic.unwrap_or_default();
        traffic.stable_requests + traffic.canary_requests
    };
    // What users sent before the rollout was everywhere is in no rollout's counts.
    let stored = eventually("everything is stored", LIMIT, || async {
        let mut waiting = 0;
        let mut ours = 0;
        for sidecar in &cluster.sidecars {
            let held = cluster.trace.look(&sidecar.name, &sidecar.admin).await?;
            waiting += held.waiting;
            ours += held.counted.values().sum::<u64>();
        }
        let all = client.get(&id).await.map(|rollout| counted(&rollout));
        Ok((waiting <= 3 && all.is_ok_and(|all| all == ours)).then_some(()))
    });
    stored.await?;
    let rollout = client.get(&id).await?;
    ensure!(counted(&rollout) <= sent.ended, "{rollout:#?}");
    ensure!((rollout.state(), rollout.epoch) == (State::Running, 1));
    ensure!(of(&tally.refused) == 0, "{tally:?}");
    never_above(&client, 0.2).await?;
    println!("{tally:?}");
    cluster.finish().await
}

fn impossible(report: &mut v1::ReportRequest) {
    for cell in &mut report.cells {
        for variant in &mut cell.variants {
            variant.ok = u64::MAX;
        }
    }
}

/// One sidecar of two sends nonsense: nothing of it counts, and nothing moves on before it is a new one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_sidecar_that_reports_nonsense_stops_the_ramp_until_it_is_mended() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let between = Between::start(cluster.grpc(), 6, &cluster.trace).await?;
    between.treat(Treatment::Changed(impossible));
    let bad = cluster.add_sidecar(behind(&between)).await?;
    let client = cluster.client()?;
    let (traffic, _) = cluster.load(&Load::default())?;
    let refused = eventually("a report is refused", LIMIT, || async {
        Ok((of(&between.tally().refused) > 0).then_some(()))
    });
    refused.await?;
    let id = client.apply(&cluster.plan(QUICK)?).await?.id;
    let distrusts =
        |rollout: &v1::Rollout| (rollout.state(), rollout.cause()) == (State::Held, Cause::Reports);
    client.until(&id, "held", LIMIT, distrusts).await?;
    // Poison of every kind, from whoever has a connection.
    poison(&cluster, &client.get(&id).await?).await?;
    labels_that_are_none(&client).await?;
    let rollout = client.get(&id).await?;
    ensure!(distrusts(&rollout) && rollout.epoch == 1, "{rollout:#?}");
    let kinds = never_above(&client, 0.2).await?;
    ensure!(kinds.iter().any(|kind| held(kind, Cause::Reports)));
    let name = &cluster.sidecars[bad].name;
    let named = |kind: &Kind| matches!(kind, Kind::SidecarQuarantined(of) if of.sidecar == *name && of.why.contains("too large"));
    ensure!(kinds.iter().any(named), "{kinds:?}");
    // Mended, it is believed as a new one, and the ramp goes on by itself.
    between.treat(Treatment::Faithful);
    cluster.kill_sidecar(bad).await?;
    cluster.restart_sidecar(bad).await?;
    client
        .until(&id, "it moves on", LIMIT, |rollout| rollout.step == 1)
        .await?;
    traffic.stop().await;
    cluster.finish().await
}

/// Reports of sidecars that nobody knows, each impossible in its own way.
async fn poison(cluster: &Cluster, rollout: &v1::Rollout) -> Result<()> {
    type Change = fn(&mut v1::ReportRequest);
    let first: fn(&mut v1::ReportRequest) -> &mut v1::VariantCell =
        |report| &mut report.cells[0].variants[0];
    let table: [(&str, Refusal, Change); 11] = [
        ("too many", Refusal::Impossible, |of| {
            of.cells[0].variants[0].ok = 1 << 40;
        }),
        ("overflow", Refusal::Impossible, |of| {
            of.cells[0].variants[0].assigned = u64::MAX;
        }),
        ("more latencies than requests", Refusal::Impossible, |of| {
            of.cells[0].variants[0].latency = Some(v1::Sketch {
                index_deltas: vec![100],
                counts: vec![5],
            });
        }),
        ("a sketch that is none", Refusal::Impossible, |of| {
            of.cells[0].variants[0].latency = Some(v1::Sketch {
                index_deltas: vec![u32::MAX, u32::MAX],
                counts: vec![1],
            });
        }),
        ("one variant twice", Refusal::Impossible, |of| {
            let again = of.cells[0].variants[0].clone();
            of.cells[0].variants.push(again);
        }),
        ("a clock of another century", Refusal::Impossible, |of| {
            of.cells[0].second = 1 << 40;
        }),
        ("more than any sidecar carries", Refusal::Impossible, |of| {
            of.cells[0].variants[0].ok = (1 << 32) - 1;
        }),
        ("more errors than requests", Refusal::Impossible, |of| {
            of.keys[0].cluster_errors[3] = 2;
        }),
        ("half of the clusters", Refusal::Impossible, |of| {
            of.keys[0].cluster_requests.truncate(32);
        }),
        ("a million cells", Refusal::Impossible, |of| {
            of.cells = vec![v1::Cell::default(); 12_001];
        }),
        ("an epoch to come", Refusal::UnknownEpoch, |of| {
            of.cells[0].epoch += 1;
        }),
    ];
    let channel = cluster.client()?.channel();
    let second = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs();
    for (number, (what, refusal, change)) in table.into_iter().enumerate() {
        let mut report = v1::ReportRequest {
            sidecar: format!("stranger-{number}"),
            incarnation: 1,
            seq: 1,
            finished_before: second,
            cells: vec![v1::Cell {
                rollout: rollout.id.clone(),
                epoch: rollout.epoch,
                second: second - 1,
                variants: vec![v1::VariantCell {
                    variant: "v2".into(),
                    ok: 1,
                    assigned: 1,
                    ..v1::VariantCell::default()
                }],
                model: String::new(),
            }],
            keys: vec![v1::KeyStatistics {
                rollout: rollout.id.clone(),
                epoch: rollout.epoch,
                variant: "v2".into(),
                registers: vec![0; 4096],
                cluster_requests: vec![1; 64],
                cluster_errors: vec![0; 64],
            }],
        };
        ensure!(first(&mut report).ok == 1);
        change(&mut report);
        let mut client = SidecarsClient::new(channel.clone());
        let stream = tokio_stream::iter([report]);
        let mut acks = client.report(stream).await?.into_inner();
        let Some(ack) = acks.next().await.transpose()? else {
            anyhow::bail!("{what}: no answer");
        };
        ensure!(ack.refusal() == refusal, "{what}: {ack:?}");
        ensure!(!ack.detail.is_empty(), "{what}: nobody is told why");
    }
    Ok(())
}

/// Labels that are no numbers, and of predictions that nobody made.
async fn labels_that_are_none(client: &Client) -> Result<()> {
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5, 2.0, 1e300];
    let item = |value| v1::Outcome {
        prediction_id: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        metric: "accuracy".into(),
        value,
        row: 0,
    };
    let request = v1::RecordOutcomesRequest {
        items: values.into_iter().map(item).collect(),
    };
    let answer = client
        .outcomes()
        .record_outcomes(request)
        .await?
        .into_inner();
    ensure!(answer.statuses.len() == values.len());
    for status in answer.statuses() {
        let refused = [v1::OutcomeStatus::BadId, v1::OutcomeStatus::BadValue];
        ensure!(refused.contains(&status), "{status:?}");
    }
    Ok(())
}

/// Says that the canary never fails.
fn perfect(report: &mut v1::ReportRequest) {
    tell(report, |of| {
        of.ok += of.client + of.model + of.overload + of.timeout + of.connect;
        (of.client, of.model, of.overload, of.timeout, of.connect) = (0, 0, 0, 0, 0);
        (of.breaker_openings, of.failed_probes) = (0, 0);
    });
}

/// Says that the canary always fails.
fn dreadful(report: &mut v1::ReportRequest) {
    tell(report, |of| {
        of.model += of.ok;
        of.ok = 0;
    });
}

fn tell(report: &mut v1::ReportRequest, lie: fn(&mut v1::VariantCell)) {
    let cells = report.cells.iter_mut().flat_map(|cell| &mut cell.variants);
    cells.filter(|of| of.variant == "v2").for_each(lie);
    for keys in report.keys.iter_mut().filter(|of| of.variant == "v2") {
        keys.cluster_errors
            .iter_mut()
            .for_each(|errors| *errors = 0);
    }
}

async fn with_a_liar(lie: fn(&mut v1::ReportRequest)) -> Result<(Cluster, Between)> {
    let mut cluster = Cluster::start(3).await?;
    let between = Between::start(cluster.grpc(), 7, &cluster.trace).await?;
    between.treat(Treatment::Changed(lie));
    cluster.add_sidecar(behind(&between)).await?;
    Ok((cluster, between))
}

/// It hides what its users suffer; the others' users are enough.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_sidecar_that_praises_a_bad_canary_saves_it_not() -> Result<()> {
    let (cluster, _between) = with_a_liar(perfect).await?;
    let client = cluster.client()?;
    cluster.fault("v2", r#"{"error_rate": 0.3}"#).await?;
    let id = client.apply(&cluster.plan(QUICK)?).await?.id;
    let (traffic, _) = cluster.load(&Load::default())?;
    let back = client.until(&id, "rolled back", LIMIT, |rollout| {
        rollout.state() == State::RolledBack
    });
    let rollout = back.await?;
    let causes = [Cause::Guardrail, Cause::Breaker, Cause::Budget];
    ensure!(causes.contains(&rollout.cause()), "{rollout:#?}");
    let kinds = never_above(&client, 0.2).await?;
    let why = |kind: &Kind| matches!(kind, Kind::RolledBack(of) if of.decision.as_ref().is_some_and(|of| of.sentence.starts_with("ROLL BACK")));
    ensure!(kinds.iter().any(why), "{kinds:#?}");
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}

/// It can stop a good canary, as everybody can, but not before it was named and waited for.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_sidecar_that_slanders_a_good_canary_is_named() -> Result<()> {
    let (cluster, _between) = with_a_liar(dreadful).await?;
    let client = cluster.client()?;
    let id = client.apply(&cluster.plan(STAYS)?).await?.id;
    let (traffic, _) = cluster.load(&Load::default())?;
    let liar = cluster.sidecars[3].name.clone();
    let back = client.until(&id, "rolled back", LIMIT, |rollout| {
        rollout.state() == State::RolledBack
    });
    back.await?;
    never_above(&client, 0.2).await?;
    let request = v1::GetRecordingRequest { rollout: id };
    let mut stream = client.rollouts().get_recording(request).await?.into_inner();
    let mut recording = serinus_core::replay::Recording::default();
    while let Some(chunk) = stream.message().await? {
        recording.absorb(chunk)?;
    }
    let doubted: Vec<&str> = recording
        .slices
        .iter()
        .map(|slice| slice.doubted.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    ensure!(doubted.first() == Some(&liar.as_str()), "{doubted:?}");
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}
