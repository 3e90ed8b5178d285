//! Measures the service from outside: the real program, a recording target in a process of its own, and the load.
//!
//! `scripts/bench [SCENARIO]…` runs it. Figures come as one line each, and as JSON with `--json`.

#![expect(clippy::print_stdout, reason = "its figures are its output")]

mod bulk;
mod elastic;
mod figure;
mod load;
mod runs;
mod scenarios;
mod service;
mod target;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // Only this process asks for one: nobody can have installed another.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let as_json = words.iter().any(|word| word == "--json");
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--json").collect();
    if words == ["target"] {
        target::serve().await;
        return ExitCode::SUCCESS;
    }
    let is_known = |word: &&&str| scenarios::NAMES.contains(word) || scenarios::ON_ELASTICSEARCH.contains(word);
    if let Some(unknown) = words.iter().find(|word| !is_known(word)) {
        let known = [scenarios::NAMES, scenarios::ON_ELASTICSEARCH].concat();
        eprintln!("unknown scenario `{unknown}`, expected {}", known.join(", "));
        return ExitCode::from(2);
    }
    let chosen = if words.is_empty() { scenarios::NAMES.to_vec() } else { words };
    for name in chosen {
        for figure in scenarios::run(name).await {
            if as_json {
                println!(
                    "{}",
                    serde_json::json!({ "scenario": name, "figure": figure.name, "value": figure.value, "unit": figure.unit })
                );
            } else {
                println!("{name:<10} {:<58} {:>12.2} {}", figure.name, figure.value, figure.unit);
            }
        }
    }
    ExitCode::SUCCESS
}
