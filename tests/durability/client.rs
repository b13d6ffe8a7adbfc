//! A client of the Redis door: sends requests, reads RESP2 replies, and says when the server is gone.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::server::LONG;

/// One connection.
pub struct Client {
    from: BufReader<TcpStream>,
}

/// A reply. All text of these tests is UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(String),
    Nil,
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a bulk, if there is one.
    pub fn bulk(&self) -> Option<&str> {
        match self {
            Reply::Bulk(text) => Some(text),
            _ => None,
        }
    }

    /// The text of an error, if it is one.
    pub fn error(&self) -> Option<&str> {
        match self {
            Reply::Error(text) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self) -> i64 {
        match self {
            Reply::Integer(value) => *value,
            other => panic!("no integer: {other:?}"),
        }
    }

    pub fn array(&self) -> &[Reply] {
        match self {
            Reply::Array(elements) => elements,
            other => panic!("no array: {other:?}"),
        }
    }

    pub fn is_ok(&self) -> bool {
        *self == Reply::Simple("OK".to_owned())
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONG))?;
        stream.set_write_timeout(Some(LONG))?;
        Ok(Client { from: BufReader::new(stream) })
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.from.get_mut().write_all(bytes)
    }

    /// The next reply. An error if the server is gone.
    ///
    /// # Panics
    /// If it is there but does not answer for [`LONG`]: nothing may hang.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("no answer for {LONG:?}")
            }
            result => result?,
        };
        let Some(text) = line.strip_suffix("\r\n") else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let (kind, text) = text.split_at(1);
        let number = || text.parse::<i64>().unwrap();
        Ok(match kind {
            "+" => Reply::Simple(text.to_owned()),
            "-" => Reply::Error(text.to_owned()),
            ":" => Reply::Integer(number()),
            "$" | "*" if number() < 0 => Reply::Nil,
            "$" => {
                let mut bulk = vec![0; number() as usize + 2];
                self.from.read_exact(&mut bulk)?;
                bulk.truncate(bulk.len() - 2);
                Reply::Bulk(String::from_utf8(bulk).unwrap())
            }
            "*" => Reply::Array((0..number()).map(|_| self.reply()).collect::<io::Result<_>>()?),
            _ => panic!("no reply: {line:?}"),
        })
    }

    /// Sends a command, its words separated by blanks, and reads its reply.
    pub fn try_ask(&mut self, command: &str) -> io::Result<Reply> {
        let words: Vec<&str> = command.split(' ').collect();
        let mut bytes = Vec::new();
        push_request(&words, &mut bytes);
        self.send(&bytes)?;
        self.reply()
    }

    /// The same of a server that must be there.
    pub fn ask(&mut self, command: &str) -> Reply {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Sends commands at once and reads their replies.
    pub fn ask_all(&mut self, commands: &[String]) -> Vec<Reply> {
        let mut bytes = Vec::new();
        for command in commands {
            push_request(&command.split(' ').collect::<Vec<_>>(), &mut bytes);
        }
        self.send(&bytes).unwrap();
        commands.iter().map(|_| self.reply().unwrap()).collect()
    }

    /// A field of INFO.
    pub fn try_info(&mut self, field: &str) -> io::Result<String> {
        let info = self.try_ask("INFO")?;
        let lines = info.bulk().unwrap_or_default().lines();
        let mut found = lines.filter_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(found.next().unwrap_or_else(|| panic!("{field} is in INFO")).to_owned())
    }

    /// The same of a server that must be there.
    pub fn info(&mut self, field: &str) -> String {
        self.try_info(field).unwrap()
    }
}

/// Appends a command as an array of bulks.
pub fn push_request(words: &[&str], to: &mut Vec<u8>) {
    to.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        to.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}
