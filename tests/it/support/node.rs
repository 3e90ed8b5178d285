use schedule_service::config::NodeSettings;
use schedule_service::node::Node;
use tempfile::TempDir;

/// A node in this process, on its own folder and port.
pub(crate) struct BoxedNode {
    pub(crate) base: String,
    node: Node,
    folder: TempDir,
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
