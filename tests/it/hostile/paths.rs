//! Ways to write a path so that somebody takes it for another one.

use super::{answered, impatient};
use crate::support::{client, post_ok, task};

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_what_it_says_and_nothing_is_made_of_it() {
    let node = impatient().await;
    let body = task("smuggled", "0 0 0 1 1 *", "http://127.0.0.1:9/");
    let put = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let others = [
        "//put",
        "/./put",
        "/x/../put",
        "/../put",
        "/put/..",
        "/put//",
        "/%70ut",
        "/%2fput",
        "/put%2f",
        "/put;x",
        "/put%3bx",
        "/put.",
        "/PUT",
        "/put%00",
        "/put%20",
        "/put%0a",
        "/put/x",
        "/.%2e/put",
        "/\\put",
        "/put\\",
        "/a%2f..%2fput",
        "/%2e%2e/put",
        "/x/%2e%2e/put",
        "/%2e/put",
        "///put",
        "/;/put",
        "/x;/../put",
        "/put;jsessionid=1",
        "/put%00.json",
        "/%00/put",
        "/put%ff",
        "/%c0%af/put",
        "/%ef%bb%bfput",
        "/put\u{feff}",
    ];
    for path in others {
        assert_eq!(answered(&node, put(path).as_bytes()).await, [404], "{path}");
    }
    assert_eq!(post_ok(&node.base, "/all", "").await["data"], serde_json::json!([]));
    for path in ["/put", "/put/", "/put?", "http://localhost/put"] {
        assert_eq!(answered(&node, put(path).as_bytes()).await, [200], "{path}");
    }
    assert_eq!(answered(&node, put("http://elsewhere/put").as_bytes()).await, [403], "a name that leads here");
    for path in ["/put\0", "/\0put", "/put\x7f", "/put x"] {
        assert_eq!(answered(&node, put(path).as_bytes()).await, [400], "{path:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encoded_in_a_name_is_part_of_the_name_and_never_of_the_path() {
    let node = impatient().await;
    for identity in ["a/b", "../put", "a%2Fb", "\u{0}"] {
        post_ok(&node.base, "/put", task(identity, "0 0 0 1 1 *", "http://127.0.0.1:9/")).await;
    }
    let asked = [
        ("a%2Fb:e", 200, "a/b"),
        ("a%2fb:e", 200, "a/b"),
        ("a%252Fb:e", 200, "a%2Fb"),
        ("..%2Fput:e", 200, "../put"),
        ("%00:e", 200, "\u{0}"),
        ("a/b:e", 404, ""),
        ("a%2:e", 400, ""),
        ("a%FF:e", 400, ""),
    ];
    for (id, status, identity) in asked {
        let request = format!("GET /scheduled-jobs/{id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8(super::sent(node.address(), request.as_bytes()).await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{id}: {answer}");
        if status == 200 {
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let job: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(job["identity"], identity, "{id}");
        }
    }
    let put = client().get(format!("{}/put", node.base)).send().await.unwrap();
    assert_eq!(put.status(), 405);
    node.stop().await;
}
