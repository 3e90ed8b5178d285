use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::json;

use super::super::{Answer, OutgoingRequest};
use super::*;
use crate::model::object::{Mistakes, Object};
use crate::model::{Auth, Credentials};

/// What the server does with the request of this number.
#[derive(Clone, Copy)]
enum Deed {
    /// Gives a token with this number after so long, for an hour.
    Give(Duration),
    Refuse,
    Break,
    Hang,
    Long,
}

struct Server {
    came: Mutex<Vec<OutgoingRequest>>,
    script: Box<dyn Fn(usize) -> Deed + Send + Sync>,
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        let number = {
            let mut came = self.came.lock().unwrap();
            came.push(request);
            came.len()
        };
        match (self.script)(number) {
            Deed::Give(after) => {
                tokio::time::sleep(after).await;
                let token = json!({ "access_token": format!("t{number}"), "token_type": "bearer", "expires_in": 3600 });
                Ok(Answer::whole(200, token.to_string()))
            }
            Deed::Refuse => Ok(Answer::whole(401, r#"{"error":"invalid_client","error_description":"not s3cret"}"#)),
            Deed::Break => Err(TransportError::Broken("connection refused".to_owned())),
            Deed::Hang => std::future::pending().await,
            Deed::Long => Ok(Answer::whole(200, vec![b' '; 64 * 1024 + 1])),
        }
    }
}

fn tokens(script: impl Fn(usize) -> Deed + Send + Sync + 'static) -> (Tokens, Arc<Server>) {
    let server = Arc::new(Server { came: Mutex::default(), script: Box::new(script) });
    (Tokens::new(server.clone()), server)
}

fn client(id: &str) -> OAuth2Client {
    let auth = json!({ "type": "oauth2", "token_url": "https://login.example/token?x", "client_id": id, "client_secret": "s3cret" });
    let (entry, mut mistakes) = (json!({ "auth": auth }).to_string(), Mistakes::default());
    let members = Object::read_body(entry.as_bytes(), "", &mut mistakes).unwrap();
    match Credentials::read(&members, &mut mistakes).auth.map(|auth| *auth) {
        Some(Auth::OAuth2(client)) => *client,
        other => panic!("{other:?} {}", mistakes.text()),
    }
}

impl Server {
    fn count(&self) -> usize {
        self.came.lock().unwrap().len()
    }
}

fn scrub() -> Scrub {
    Scrub::default().and(["s3cret"])
}

async fn got(tokens: &Tokens, id: &str) -> Result<String, NoToken> {
    tokens.get(&client(id), &scrub()).await.map(|token| token.expose().to_owned())
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn many_who_need_a_token_share_one_request_also_if_the_first_of_them_goes_away() {
    let (tokens, server) = tokens(|_| Deed::Give(SECOND));

    let first = tokio::time::timeout(SECOND / 2, got(&tokens, "a")).await;
    let all = join_all((0..1_000).map(|_| got(&tokens, "a"))).await;

    assert!(first.is_err());
    assert!(all.iter().all(|token| token.as_deref() == Ok("t1")));
    assert_eq!(server.count(), 1);
    let sent = &server.came.lock().unwrap()[0];
    assert_eq!((&sent.method, sent.url.as_str()), (&Method::POST, "https://login.example/token?x"));
    assert_eq!(sent.body, b"grant_type=client_credentials");
    assert!(sent.headers["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_until_a_minute_before_its_end_or_until_it_is_not_taken() {
    let (tokens, server) = tokens(|_| Deed::Give(Duration::ZERO));
    assert_eq!(got(&tokens, "a").await.unwrap(), "t1");

    tokio::time::advance(Duration::from_secs(3_539)).await;
    assert_eq!(got(&tokens, "a").await.unwrap(), "t1");
    tokio::time::advance(SECOND).await;
    let second = tokens.get(&client("a"), &scrub()).await.unwrap();
    assert_eq!(second.expose(), "t2");

    tokens.forget(&second);
    assert_eq!(got(&tokens, "a").await.unwrap(), "t3");
    tokens.forget(&second);
    assert_eq!(got(&tokens, "a").await.unwrap(), "t3", "an old one takes no newer one with it");
    assert_eq!(server.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn each_client_has_its_own_token() {
    let (tokens, _) = tokens(|_| Deed::Give(Duration::ZERO));

    assert_eq!(got(&tokens, "a").await.unwrap(), "t1");
    assert_eq!(got(&tokens, "b").await.unwrap(), "t2");
    assert_eq!(got(&tokens, "a").await.unwrap(), "t1");
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_told_without_the_secret_and_asked_again_the_next_time() {
    let (tokens, _) = tokens(|number| match number {
        1 => Deed::Refuse,
        2 => Deed::Break,
        3 => Deed::Long,
        4 => Deed::Hang,
        _ => Deed::Give(Duration::ZERO),
    });
    let none = |message: &str, failure| Err(NoToken { message: message.to_owned(), failure: Some(failure) });
    let from = "no token from https://login.example:";

    let refused = format!("{from} answered with status 401 (invalid_client: not ***)");
    assert_eq!(got(&tokens, "a").await, none(&refused, Failure::Status(401)));
    assert_eq!(got(&tokens, "a").await, none(&format!("{from} connection refused"), Failure::Connect));
    let long = format!("{from} its answer is longer than 65536 bytes");
    assert_eq!(got(&tokens, "a").await, none(&long, Failure::Status(200)));
    assert_eq!(got(&tokens, "a").await, none("no token within 30 s", Failure::Timeout));
    assert_eq!(got(&tokens, "a").await.unwrap(), "t5");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_thousand_tokens_are_kept() {
    let (tokens, server) = tokens(|_| Deed::Give(Duration::ZERO));
    for number in 0..1_100 {
        drop(got(&tokens, &number.to_string()).await.unwrap());
        tokio::time::advance(SECOND).await;
    }

    assert_eq!(tokens.kept.lock().unwrap().len(), TOKENS_MAX);
    assert_eq!(got(&tokens, "1099").await.unwrap(), "t1100", "the newest ones stay");
    assert_eq!(server.count(), 1_100);
}
