//! Wrong keys by the thousand, from many addresses.

use std::time::Duration;

use futures_util::StreamExt;

use crate::dice::Dice;
use crate::fuzz::PREFIX;
use crate::stage::{Seen, Stage};
use crate::wire::{address_of, asked, connect};

const NETWORK: u8 = 60;
/// So many come from one address, over one connection: more than twice as many as are looked at in a minute.
const PER_ADDRESS: usize = 100;
const AT_ONCE: usize = 20;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn play(stage: &Stage) -> Seen {
    let addresses = stage.size.wrong_keys / PER_ADDRESS;
    let clients = futures_util::stream::iter(0..addresses).map(|number| tries(stage, number));
    let tried: Vec<_> = clients.buffer_unordered(AT_ONCE).collect().await;
    let (mut seen, mut unauthorized, mut limited) = (Seen::default(), 0, 0);
    for tried in tried {
        match tried {
            Ok((first, then)) => {
                unauthorized += first;
                limited += then;
            }
            Err(why) => seen.broken.push(why),
        }
    }
    seen.expect(limited > unauthorized, || format!("{unauthorized} were looked at, and only {limited} were not"));
    if let Err(why) = good(stage).await {
        seen.broken.push(why);
    }
    seen.what =
        format!("{} wrong keys, {unauthorized} looked at, {limited} refused unseen (429)", unauthorized + limited);
    seen
}

/// How many of the tries were answered 401, and how many 429.
async fn tries(stage: &Stage, number: usize) -> Result<(usize, usize), String> {
    let mut dice = Dice::new(stage.seed ^ number as u64);
    let mut stream = connect(stage.address, address_of(NETWORK, number)).await.map_err(|error| error.to_string())?;
    let (mut unauthorized, mut limited) = (0, 0);
    for _ in 0..PER_ADDRESS {
        let key: String = (0..64).map(|_| char::from(b"0123456789abcdef"[dice.below(16)])).collect();
        let came = asked(&mut stream, request(&format!("sk_{}_{key}", &key[..16])).as_bytes(), ANSWER_WITHIN).await;
        match came.map_err(|error| format!("a wrong key: {error}"))?.statuses()[..] {
            [401] => unauthorized += 1,
            [429] => limited += 1,
            ref other => return Err(format!("a wrong key is answered {other:?}")),
        }
    }
    Ok((unauthorized, limited))
}

/// Who shares an address with them and has a key that was made is served.
async fn good(stage: &Stage) -> Result<(), String> {
    let answered = async {
        let mut stream = connect(stage.address, address_of(NETWORK, 0)).await?;
        asked(&mut stream, request(&stage.key).as_bytes(), ANSWER_WITHIN).await
    };
    match answered.await.map_err(|error| format!("a good key: {error}"))?.statuses()[..] {
        [200] => Ok(()),
        ref other => Err(format!("a good key from the same address is answered {other:?}")),
    }
}

fn request(key: &str) -> String {
    let body = format!(r#"{{"identity":"{PREFIX}"}}"#);
    format!("POST /get HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
