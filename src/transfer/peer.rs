//! Another server of the Redis protocol, as one of its clients sees it. Whoever uses it waits for it,
//! but never longer than it was told to without any progress.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The longest reply that is read. Those to what is asked here are a line.
const REPLY_BYTES_MAX: u64 = 64 * 1024;

/// A connection to it.
#[derive(Debug)]
pub struct Peer {
    requests: BufWriter<TcpStream>,
    replies: BufReader<TcpStream>,
}

/// What goes wrong.
#[derive(Debug)]
pub enum Trouble {
    /// It takes nothing more.
    Writing,
    /// It does not answer.
    Reading,
    /// It answers with this error.
    Refused(String),
}

impl Peer {
    /// Connects to it.
    ///
    /// # Errors
    /// When there is none, or not within this time.
    pub fn connect(host: &[u8], port: &[u8], timeout: Duration) -> io::Result<Peer> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidInput);
        let host = std::str::from_utf8(host).map_err(|_| wrong())?;
        let port = std::str::from_utf8(port).ok().and_then(|port| port.parse::<u16>().ok());
        let mut outcome = Err(wrong());
        for address in (host, port.ok_or_else(wrong)?).to_socket_addrs()? {
            outcome = TcpStream::connect_timeout(&address, timeout);
            if outcome.is_ok() {
                break;
            }
        }
        let stream = outcome?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Peer { requests: BufWriter::new(stream.try_clone()?), replies: BufReader::new(stream) })
    }

    /// Adds a request to those that it is sent.
    ///
    /// # Errors
    /// [`Trouble::Writing`].
    pub fn add(&mut self, words: &[&[u8]]) -> Result<(), Trouble> {
        self.write(words).map_err(|_| Trouble::Writing)
    }

    /// Its next reply, which must be a line. Before the first one is read, all requests must have been
    /// added.
    ///
    /// # Errors
    /// When it is an error, or does not come.
    pub fn answer(&mut self) -> Result<(), Trouble> {
        self.requests.flush().map_err(|_| Trouble::Writing)?;
        let mut line = Vec::new();
        let read = (&mut self.replies).take(REPLY_BYTES_MAX).read_until(b'\n', &mut line);
        match (read, line.split_first()) {
            (Ok(_), Some((b'+', rest))) if rest.ends_with(b"\r\n") => Ok(()),
            (Ok(_), Some((b'-', rest))) if rest.ends_with(b"\r\n") => {
                Err(Trouble::Refused(String::from_utf8_lossy(rest).trim_end().to_owned()))
            }
            _ => Err(Trouble::Reading),
        }
    }

    fn write(&mut self, words: &[&[u8]]) -> io::Result<()> {
        write!(self.requests, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.requests, "${}\r\n", word.len())?;
            self.requests.write_all(word)?;
            self.requests.write_all(b"\r\n")?;
        }
        Ok(())
    }
}
