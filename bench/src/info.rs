//! A server's own account of itself, from INFO, on a connection of its own.

use crate::workload::resp;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const COMMANDS: &str = "total_commands_processed";

/// A connection that asks for INFO.
pub struct Info {
    stream: BufReader<TcpStream>,
}

impl Info {
    /// # Errors
    /// When the server does not accept the connection.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// None when the server does not count its commands (the floor servers).
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn counting(address: SocketAddr) -> Result<Option<Self>> {
        let mut info = Self::connect(address)?;
        Ok(info.field("stats", COMMANDS)?.map(|_| info))
    }

    /// The number of commands that the server has run.
    ///
    /// # Errors
    /// When the server does not tell.
    pub fn commands(&mut self) -> Result<u64> {
        self.field("stats", COMMANDS)?.context("INFO stats without total_commands_processed")
    }

    /// A whole number of INFO's `section`; None when there is no such field.
    ///
    /// # Errors
    /// When the server does not answer, or the field is not a whole number.
    pub fn field(&mut self, section: &str, name: &str) -> Result<Option<u64>> {
        self.stream.get_mut().write_all(resp(&["INFO", section]).as_bytes())?;
        let mut head = String::new();
        self.stream.read_line(&mut head)?;
        let Some(len) = head.trim_end().strip_prefix('$') else { return Ok(None) };
        let mut text = vec![0; len.parse::<usize>()? + 2];
        self.stream.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(found.map(|number| number.trim().parse()).transpose()?)
    }
}
