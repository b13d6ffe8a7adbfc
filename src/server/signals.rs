//! When the operating system asks the process to stop. What is Unix-only stays in this file.

/// Waits for SIGTERM or SIGINT (Ctrl-C). Returns the signal's name.
///
/// # Errors
/// When the handler can not be installed.
#[cfg(unix)]
pub async fn stop_requested() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

/// Waits for Ctrl-C.
///
/// # Errors
/// When the handler can not be installed.
#[cfg(not(unix))]
pub async fn stop_requested() -> std::io::Result<&'static str> {
    tokio::signal::ctrl_c().await?;
    Ok("Ctrl-C")
}

/// Calls `then` whenever the process is told to begin its files anew (SIGHUP).
///
/// # Errors
/// When the handler can not be installed.
#[cfg(unix)]
pub async fn mind_hangup(mut then: impl FnMut()) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    while hangup.recv().await.is_some() {
        then();
    }
    Ok(())
}

/// There is no such signal.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub async fn mind_hangup(_then: impl FnMut()) -> std::io::Result<()> {
    Ok(())
}

/// Raises the limit of open files to what `clients` connections need, as far as it may be raised.
/// Returns how many clients the limit allows.
#[cfg(unix)]
pub fn allow_clients(clients: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Files that are no client: listeners, event queues, logs, data.
    const RESERVED: u64 = 64;
    let limit = getrlimit(Resource::Nofile);
    let wanted = clients as u64 + RESERVED;
    let Some(current) = limit.current.filter(|&current| current < wanted) else { return clients };
    let maximum = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit { current: Some(maximum), maximum: limit.maximum };
    let allowed = if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current };
    clients.min(allowed.saturating_sub(RESERVED) as usize)
}

/// Windows has no such limit.
#[cfg(not(unix))]
pub fn allow_clients(clients: usize) -> usize {
    clients
}
