//! The contract's second and third family: each row as a golden request with its answer, error answers included, on both
//! stores.
//!
//! A case is asked again until its answer is there where it says `"until": true`. `${name}` stands for what an earlier case
//! saved; in an expected answer `<uuid>`, `<date>`, `<number>`, `<text>` and `<any>` stand for any of that form, and what is not named
//! of the headers is not looked at.

mod cases;

use self::cases::Golden;
use crate::support::{BoxedNode, Target, elasticsearch};

const ONE_SHOT: &str = include_str!("../../data/golden/one-shot.jsonl");
const JOBS: &str = include_str!("../../data/golden/jobs.jsonl");

async fn replay(cases: &str, node: BoxedNode) {
    let target = Target::start().await;
    let mut golden = Golden::new(&node.base, &target);
    let mut wrong = Vec::new();
    for line in cases.lines().filter(|line| !line.is_empty()) {
        wrong.extend(golden.replay(line).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shot_clients_are_answered_as_the_golden_cases_say() {
    replay(ONE_SHOT, BoxedNode::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shot_clients_are_answered_the_same_on_elasticsearch() {
    let cluster = Some(elasticsearch::settings());
    replay(ONE_SHOT, BoxedNode::start_with(|settings| settings.elasticsearch = cluster).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn job_run_clients_are_answered_as_the_golden_cases_say() {
    replay(JOBS, BoxedNode::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn job_run_clients_are_answered_the_same_on_elasticsearch() {
    let cluster = Some(elasticsearch::settings());
    replay(JOBS, BoxedNode::start_with(|settings| settings.elasticsearch = cluster).await).await;
}
