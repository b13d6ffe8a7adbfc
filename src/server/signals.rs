//! What the operating system says to the process, and allows it: when to stop, when to begin its files anew,
//! how many of them may be open. What is Unix-only stays in this file.

/// Hears SIGTERM and SIGINT (Ctrl-C) from now on; what is returned waits for one, and has its name.
///
/// # Errors
/// When the handler can not be installed.
#[cfg(unix)]
pub fn stop_requested() -> std::io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Waits for Ctrl-C.
///
/// # Errors
/// When the handler can not be installed.
#[cfg(not(unix))]
pub fn stop_requested() -> std::io::Result<impl Future<Output = &'static str>> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
        "Ctrl-C"
    })
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
