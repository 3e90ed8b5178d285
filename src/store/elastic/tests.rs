//! The store on a real server.

use url::Url;
use uuid::Uuid;

use super::*;
use crate::clock::SystemClock;
use crate::store::conformance::store_conformance;

/// Where the server for tests is; `scripts/test` starts one and says so.
const VARIABLE: &str = "SCHEDULE_TEST_ELASTICSEARCH";

fn server() -> Url {
    let hosts = std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!(
            "{VARIABLE} is not set: run scripts/test, or `scripts/elasticsearch start` and set it to what that prints"
        )
    });
    Url::parse(&hosts).unwrap()
}

fn settings() -> Settings {
    Settings {
        address: Address::Hosts(vec![server()]),
        credentials: Credentials::None,
        ca_file: None,
        timeout: std::time::Duration::from_secs(30),
        compression: false,
        index: format!("t-{}", Uuid::new_v4()),
        shards: 1,
        replicas: 0,
        refresh: Refresh::Immediately,
        durability: Durability::Request,
        wait_for_active_shards: "1".to_owned(),
    }
}

async fn open() -> Elastic {
    Elastic::open(&settings(), Arc::new(SystemClock)).await.unwrap()
}

store_conformance!((open().await, ()));
