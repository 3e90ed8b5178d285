use std::sync::Arc;

use schedule_service::config::NodeSettings;
use schedule_service::model::TargetRules;
use schedule_service::node::Node;
use schedule_service::secrets::new_key;
use tempfile::TempDir;

/// Rules of where requests may go. The targets of nearly all tests are on this machine.
pub(crate) fn targets(allow: &str, deny: &str) -> Arc<TargetRules> {
    let list = |text: &str| TargetRules::parse_list(text).expect("they are rules");
    Arc::new(TargetRules { allow: list(allow), deny: list(deny), allow_only: false })
}

/// A node in this process, on its own folder and port.
pub(crate) struct BoxedNode {
    pub(crate) base: String,
    node: Node,
    folder: TempDir,
}

/// With a new key by which the store's secrets are encrypted.
pub(crate) fn with_keys(settings: &mut NodeSettings) {
    use std::os::unix::fs::PermissionsExt;
    let path = settings.store.path.join("keys");
    std::fs::write(&path, &*new_key()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    settings.secrets.key_file = Some(path);
}

impl BoxedNode {
    /// Starts on an empty folder.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts on an empty folder, with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut NodeSettings)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    /// Starts on a folder that another node has left.
    pub(crate) async fn start_in(folder: TempDir, change: impl FnOnce(&mut NodeSettings)) -> Self {
        let mut settings = NodeSettings::default();
        settings.api.port = 0;
        settings.dispatch.targets = targets("loopback", "");
        settings.store.path = folder.path().to_owned();
        change(&mut settings);
        let node = Node::start(settings).await.expect("the node starts");
        Self { base: format!("http://{}", node.address()), node, folder }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.node.address()
    }

    /// Drains, and gives the folder for the next one.
    pub(crate) async fn stop(self) -> TempDir {
        self.node.stop().await;
        self.folder
    }
}
