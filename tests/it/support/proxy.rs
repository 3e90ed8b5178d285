use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a proxy does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Passes it on, and the answer back.
    Pass,
    /// Passes it on, and loses the answer.
    LoseAnswer,
    /// Answers that there are too many requests.
    Refuse429,
}

type Rule = dyn FnMut(&str, &[u8]) -> Deed + Send;

/// A host before Elasticsearch that can go wrong in chosen ways.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    rule: Arc<Mutex<Box<Rule>>>,
}

impl Proxy {
    /// Starts before the host of a URL; at first it passes everything on.
    pub(crate) async fn start(url: &str) -> Self {
        let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rule: Arc<Mutex<Box<Rule>>> = Arc::new(Mutex::new(Box::new(|_, _| Deed::Pass)));
        let rules = rule.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that breaks is what these tests are about.
                tokio::spawn(serve(client, host.clone(), rules.clone()));
            }
        });
        Self { address, rule }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this decides, from the first line of a request and its body.
    pub(crate) fn set(&self, rule: impl FnMut(&str, &[u8]) -> Deed + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }
}

/// One request for each connection: so the end of an answer is the end of the connection, however it is framed.
async fn serve(mut client: TcpStream, host: String, rule: Arc<Mutex<Box<Rule>>>) -> Option<()> {
    let (head, body) = read_request(&mut client).await?;
    let line = head.lines().next().unwrap_or_default().to_owned();
    let deed = (rule.lock().unwrap())(&line, &body);
    let answer = if deed == Deed::Refuse429 {
        let said = r#"{"error":{"type":"es_rejected_execution_exception","reason":"the test wants it"},"status":429}"#;
        format!(
            "HTTP/1.1 429 Too Many Requests\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{said}",
            said.len()
        )
        .into_bytes()
    } else {
        let mut server = TcpStream::connect(&host).await.ok()?;
        let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        server.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await.ok()?;
        let first_line = answer.windows(2).position(|bytes| bytes == b"\r\n")? + 2;
        [&answer[..first_line], b"Connection: close\r\n", &answer[first_line..]].concat()
    };
    if deed != Deed::LoseAnswer {
        client.write_all(&answer).await.ok()?;
    }
    Some(())
}

/// A head with its blank line, and the body that its length announces.
async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
    let mut body = vec![0; head.lines().find_map(length).unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}
