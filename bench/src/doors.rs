//! Which server a tool works on: both of its doors, and its process. Options that several tools have.

/// A server on this machine.
#[derive(clap::Args)]
pub struct Doors {
    /// Port of the server's Redis door
    #[arg(long)]
    pub port: u16,
    /// Port of its HTTP door
    #[arg(long)]
    pub http_port: u16,
    /// Process of the server
    #[arg(long)]
    pub pid: u32,
}
