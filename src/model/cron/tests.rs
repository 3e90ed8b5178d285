//! The recorded answers of the Go library.

use super::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    expr: String,
    zone: String,
    after: String,
    next: Vec<String>,
    err: Option<String>,
    class: String,
}

#[test]
fn probe() {
    let mut counts = std::collections::BTreeMap::new();
    for line in include_str!("../../../tests/data/cron-cases.jsonl").lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let zone = TimeZone::parse(&case.zone).unwrap();
        let after = Timestamp::parse_rfc3339(&case.after).unwrap();
        let ours = CronExpr::parse(&case.expr).map(|expr| {
            let ticks = expr.ticks(zone, after);
            let mut all = vec![];
            let mut at = after;
            for _ in 0..5 { if let Some(n) = ticks.next(at) { all.push(n); at = n; } }
            assert_eq!(all.len() as u64, ticks.count(after, *all.last().unwrap()), "{}", case.expr);
            assert_eq!(all.last().copied(), ticks.latest(after, *all.last().unwrap()));
            all
        });
        let key = match (&ours, &case.err) {
            (Err(_), Some(_)) => "both refuse".to_owned(),
            (Err(e), None) => { format!("we refuse {e}") }
            (Ok(_), Some(e)) => format!("accepted beyond: {}", case.expr),
            (Ok(all), None) => {
                let theirs: Vec<Timestamp> = case.next.iter().map(|t| Timestamp::parse_rfc3339(t).unwrap()).collect();
                if *all == theirs { "equal".to_owned() } else {
                    let show: Vec<String> = all.iter().map(|t| t.rfc3339_in(zone)).collect();
                    if std::env::var("SHOW").is_ok() { println!("{} {} {} \n   {:?}\n   {:?}", case.expr, case.zone, case.after, show, case.next); }
                    format!("differ {} {}", case.zone, case.class)
                }
            }
        };
        *counts.entry(key).or_insert(0) += 1;
    }
    for (k, v) in counts { println!("{v} {k}"); }
}
