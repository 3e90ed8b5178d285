use std::collections::BTreeSet;

use schedule_service::ui::DOCS;

use crate::support::{BoxedNode, client};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_with_its_files_and_may_load_nothing_else() {
    let node = BoxedNode::start().await;

    for file in DOCS {
        let path = format!("/docs/{}", file.name).trim_end_matches('/').to_owned();
        let answer = client().get(format!("{}{path}", node.base)).send().await.unwrap();

        assert_eq!(answer.status(), 200, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), file.content_type);
        assert_eq!(header("x-content-type-options"), "nosniff");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
        assert_eq!(answer.bytes().await.unwrap(), file.bytes);
    }
    let to_page = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let moved = to_page.get(format!("{}/docs/", node.base)).send().await.unwrap();
    assert_eq!((moved.status().as_u16(), &moved.headers()["location"]), (308, &"../docs".parse().unwrap()));
    let unknown = client().get(format!("{}/docs/docs.html", node.base)).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    node.stop().await;
}

#[test]
fn the_page_needs_only_its_own_files_and_has_all_of_them() {
    let names: BTreeSet<&str> = DOCS.iter().map(|file| file.name).filter(|name| !name.is_empty()).collect();
    let mut named = BTreeSet::new();
    for file in DOCS {
        let text = std::str::from_utf8(file.bytes).unwrap();
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines, it wants to be two", file.name);
        assert!(!text.contains("http://") && !text.contains("https://"), "{} names another place", file.name);
        assert!(!text.contains(".innerHTML") && !text.contains("eval("), "{} makes code of texts", file.name);
        // What stands between quotes after `from`, `src=` and `href=`.
        for (at, lead) in ["from \"./", "src=\"docs/", "href=\"docs/"].iter().flat_map(|lead| text.match_indices(lead))
        {
            named.extend(text[at + lead.len()..].split('"').next());
        }
    }
    assert_eq!(named, names);

    let html = std::str::from_utf8(DOCS[0].bytes).unwrap();
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains(" on"), "the policy forbids these");
}
