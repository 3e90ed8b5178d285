use std::path::PathBuf;

use schedule_service::config::NodeSettings;
use schedule_service::node::Node;
use tempfile::TempDir;

/// A node in this process, on its own folder and port.
pub struct BoxedNode {
    pub base: String,
    node: Node,
    folder: TempDir,
}

impl BoxedNode {
    /// Starts on an empty folder.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts on an empty folder, with other settings.
    pub async fn start_with(change: impl FnOnce(&mut NodeSettings)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    /// Starts on a folder that another node has left.
    pub async fn start_in(folder: TempDir, change: impl FnOnce(&mut NodeSettings)) -> Self {
        let mut settings = NodeSettings::default();
        settings.api.port = 0;
        settings.store.path = folder.path().to_owned();
        change(&mut settings);
        let node = Node::start(settings).await.expect("the node starts");
        Self { base: format!("http://{}", node.address()), node, folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Drains, and gives the folder for the next one.
    pub async fn stop(self) -> TempDir {
        self.node.stop().await;
        self.folder
    }
}
