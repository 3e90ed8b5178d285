//! Secrets of all three sources, on a store that nodes share.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::clock::{Clock, SimClock};
use crate::model::{SecretName, SecretText, Timestamp};
use crate::store::memory::MemoryStore;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

/// A file of keys, the first one first.
fn write_keys(path: &Path, keys: &[&str]) {
    fs::write(path, keys.join("\n")).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// Whether it got its value just now: the clock of these tests runs.
fn is_new(listed: &Listed) -> bool {
    listed.changed.is_some_and(|changed| changed >= NOW && changed.since(NOW) < Duration::from_secs(60))
}

struct Node {
    secrets: Secrets,
    folder: TempDir,
}

impl Node {
    /// On a store that others may use, with a folder of files and these keys.
    async fn start(store: &MemoryStore, keys: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("files")).unwrap();
        let key_file = (!keys.is_empty()).then(|| folder.path().join("keys"));
        if let Some(path) = &key_file {
            write_keys(path, keys);
        }
        let environment = [(name("of-environment"), SecretText::new("from the environment"))].into();
        let settings = Settings { environment, folder: Some(folder.path().join("files")), key_file, core_dumps: false };
        let clock: Arc<dyn Clock> = Arc::new(SimClock::starting_at(NOW));
        let secrets = Secrets::open(&settings, clock).unwrap();
        secrets.follow(Arc::new(store.clone()), true).await.unwrap();
        Self { secrets, folder }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join("files").join(file), text).unwrap();
    }

    fn get(&self, secret: &str) -> Result<String, String> {
        self.secrets.get(&name(secret)).map(|text| text.expose().to_owned()).map_err(|error| error.to_string())
    }

    async fn set(&self, secret: &str, value: &str) -> Result<Option<Source>, String> {
        let set = self.secrets.set(&name(secret), &SecretText::new(value), "ada").await;
        set.map_err(|error| error.to_string())
    }

    /// Waits until a look at files or at the store has brought this.
    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        waited.await.expect("it comes within some looks");
    }
}

#[tokio::test]
async fn a_secret_comes_from_the_environment_then_the_folder_then_the_store() {
    let (store, key) = (MemoryStore::new(), new_key());
    let node = Node::start(&store, &[&key]).await;
    node.write("of-environment", "not this");
    node.write("of-folder", "from a file\n");
    node.until(|node| node.get("of-folder").is_ok()).await;

    assert_eq!(node.set("of-environment", "nor this").await, Ok(Some(Source::Environment)));
    assert_eq!(node.set("of-folder", "nor this").await, Ok(Some(Source::Folder)));
    assert_eq!(node.set("of-store", "from the store").await, Ok(None));

    assert_eq!(node.get("of-environment").unwrap(), "from the environment");
    assert_eq!(node.get("of-folder").unwrap(), "from a file");
    assert_eq!(node.get("of-store").unwrap(), "from the store");
    let files = node.folder.path().join("files").display().to_string();
    let unknown = format!("secret nope is not known (looked in the environment, {files}, the store)");
    assert_eq!(node.get("nope").unwrap_err(), unknown);
    let listed = node.secrets.list();
    let shown: Vec<String> = listed.iter().map(|it| format!("{} {:?} {:?}", it.name, it.sources, it.by)).collect();
    assert_eq!(
        shown,
        [
            "of-environment [Environment, Folder, Store] None",
            "of-folder [Folder, Store] None",
            "of-store [Store] Some(\"ada\")",
        ]
    );
    assert_eq!((is_new(&listed[2]), &listed[2].problem), (true, &None));
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_is_told_and_not_taken_for_a_missing_secret() {
    let node = Node::start(&MemoryStore::new(), &[]).await;
    node.write("token", "x");
    node.until(|node| node.get("token").is_ok()).await;

    fs::remove_dir_all(node.folder.path().join("files")).unwrap();
    node.until(|node| node.get("token").is_err()).await;

    assert!(node.get("token").unwrap_err().starts_with("secret token cannot be read: the folder "));
    assert!(node.get("of-environment").is_ok());
}

#[tokio::test]
async fn what_one_node_sets_another_has_soon_and_nothing_stored_shows_a_value() {
    let (store, key) = (MemoryStore::new(), new_key());
    let (one, other) = (Node::start(&store, &[&key]).await, Node::start(&store.beside(), &[&key]).await);

    let both = futures_util::future::join(one.set("a", "value of a"), other.set("b", "value of b")).await;
    assert_eq!(both, (Ok(None), Ok(None)), "neither write takes the other away");
    assert_eq!(one.get("a").unwrap(), "value of a", "at once, after an own change");

    one.until(|node| node.get("b").is_ok()).await;
    other.until(|node| node.get("a").is_ok()).await;
    let (version, document) = vault::read(&store).await.unwrap();
    let text = document.write();
    assert_eq!((version, text.contains("value of"), text.contains("ada")), (2, false, true));

    assert!(one.secrets.remove(&name("a"), "ada").await.unwrap());
    other.until(|node| node.get("a").is_err()).await;
    assert!(!one.secrets.remove(&name("a"), "ada").await.unwrap(), "it is gone already");
    assert_eq!(vault::read(&store).await.unwrap().0, 3);
}

#[tokio::test]
async fn keys_are_rotated_without_a_moment_in_which_a_secret_cannot_be_read() {
    let (store, old, new) = (MemoryStore::new(), new_key(), new_key());
    let (one, other) = (Node::start(&store, &[&old]).await, Node::start(&store.beside(), &[&old, &new]).await);
    one.set("a", "value of a").await.unwrap();

    let set_at = one.secrets.list().iter().find(|listed| listed.name == name("a")).unwrap().changed;

    // The new key is everywhere before it encrypts, and the old one goes after nothing needs it.
    write_keys(&one.folder.path().join("keys"), &[&new, &old]);
    assert_eq!(one.secrets.rotate("ada").await.unwrap(), 1);
    write_keys(&one.folder.path().join("keys"), &[&new]);
    write_keys(&other.folder.path().join("keys"), &[&new]);

    let fresh = Node::start(&store.beside(), &[&new]).await;
    assert_eq!(fresh.get("a").unwrap(), "value of a");
    let listed = fresh.secrets.list();
    assert_eq!((listed[0].changed, listed[0].by.as_deref()), (set_at, Some("ada")), "it has its value since then");
    other.until(|node| node.secrets.list()[0].problem.is_none() && node.get("a").is_ok()).await;
}

#[tokio::test]
async fn a_wrong_key_is_told_and_rotates_nothing() {
    let (store, right, wrong) = (MemoryStore::new(), new_key(), new_key());
    Node::start(&store, &[&right]).await.set("a", "value of a").await.unwrap();
    let node = Node::start(&store.beside(), &[&wrong]).await;

    let why = node.get("a").unwrap_err();
    assert!(why.starts_with("secret a cannot be read: it was encrypted by the key "), "{why}");
    assert!(node.secrets.list()[0].problem.as_ref().unwrap().contains("which [secrets] key_file does not hold"));
    let refused = node.secrets.rotate("ada").await.unwrap_err().to_string();
    assert!(refused.starts_with("nothing was changed:\na: it was encrypted by the key "), "{refused}");
    assert_eq!(vault::read(&store).await.unwrap().0, 1);

    // As soon as the file holds the right one, it is used.
    write_keys(&node.folder.path().join("keys"), &[&wrong, &right]);
    node.until(|node| node.get("a").is_ok()).await;
    let without = Node::start(&store.beside(), &[]).await;
    assert!(without.get("a").unwrap_err().ends_with("it is encrypted in the store, and [secrets] key_file is not set"));
    assert!(without.set("b", "x").await.unwrap_err().contains("set [secrets] key_file"));
}

#[tokio::test]
async fn the_bounds_of_the_store_are_told() {
    let (store, key) = (MemoryStore::new(), new_key());
    let node = Node::start(&store, &[&key]).await;
    let largest = "x".repeat(SecretText::LEN_MAX);

    for number in 0..16 {
        node.set(&format!("s{number}"), &largest).await.unwrap();
    }
    assert!(node.set("s16", "x").await.unwrap_err().starts_with("all secrets would be 1048577 bytes together"));
    assert!(node.set("s15", &largest[1..]).await.is_ok() && node.set("s16", "x").await.is_ok());
    assert!(node.set("s1", &format!("{largest}x")).await.unwrap_err().starts_with("value: is 65537 bytes long"));
    assert!(node.set("s1", "").await.unwrap_err().starts_with("value: is 0 bytes long"));
}

#[test]
fn a_value_is_bound_to_its_name_and_a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_keys(&folder.path().join("keys"), &[&new_key()]);
    let keys = KeyRing::load(&folder.path().join("keys")).unwrap();
    let text = SecretText::new("value");
    let document = sealed::Document::empty().with(&name("a"), &text, "ada", NOW, &keys).unwrap();

    let read = sealed::Document::read(&document.write()).unwrap();
    assert_eq!((&read, read.bytes()), (&document, 5));
    let renamed = sealed::Document::read(&document.write().replace("\"a\":", "\"b\":")).unwrap();
    let (_, item) = renamed.items().next().unwrap();
    assert!(item.open(&name("b"), &keys).unwrap_err().starts_with("what the store holds was not encrypted so"));

    let newer = sealed::Document::read(r#"{"format":2,"vault":1}"#).unwrap_err().to_string();
    assert_eq!(newer, "the secrets in the store have format 2, this version reads up to 1");
    for damaged in ["", "{}", r#"{"format":1,"secrets":{"..":{}}}"#] {
        assert!(sealed::Document::read(damaged).is_err(), "{damaged}");
    }
}
