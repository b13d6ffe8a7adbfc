//! A message to clients: encoded once, shared by all who get it.

use crate::journal::Lsn;
use crate::output::Output;
use crate::reply::Reply;

/// One message, or several that stand in a row.
#[derive(Debug)]
pub struct Message {
    /// What it shows happened up to here; it must not leave before that is safe.
    pub lsn: Lsn,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// The same in both protocols, but for the first byte of each message: `*` in RESP2, as it is
    /// here, and `>` in RESP3.
    Pushes { resp2: Vec<u8>, heads: Vec<u32> },
    /// Something else in each protocol; empty: nothing.
    Either { resp2: Vec<u8>, resp3: Vec<u8> },
}

impl Message {
    /// An empty row of pushes, for [`Message::push`].
    pub fn pushes(lsn: Lsn) -> Message {
        Message { lsn, body: Body::Pushes { resp2: Vec::new(), heads: Vec::new() } }
    }

    /// Adds one push: an array of byte strings, `message`, a channel and a payload for example. Does
    /// nothing to a message that was made otherwise.
    pub fn push(&mut self, parts: &[&[u8]]) {
        if let Body::Pushes { resp2, heads } = &mut self.body {
            heads.push(resp2.len() as u32);
            let mut output = Output::new();
            let mut reply = Reply::resp(&mut output, false);
            reply.array(parts.len());
            parts.iter().for_each(|part| reply.bulk(part));
            resp2.extend(output.to_vec());
        }
    }

    /// What is written by `write` for each protocol, told by [`Reply::is_resp3`]; may be nothing.
    pub fn either(lsn: Lsn, write: impl Fn(&mut Reply<'_>)) -> Message {
        let (mut resp2, mut resp3) = (Output::new(), Output::new());
        write(&mut Reply::resp(&mut resp2, false));
        write(&mut Reply::resp(&mut resp3, true));
        let body = Body::Either { resp2: resp2.to_vec(), resp3: resp3.to_vec() };
        Message { lsn, body }
    }

    /// Bytes that it takes in a client's output.
    pub fn len(&self) -> usize {
        match &self.body {
            Body::Pushes { resp2, .. } => resp2.len(),
            Body::Either { resp2, resp3 } => resp2.len().max(resp3.len()),
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends it to a client's output.
    pub fn write(&self, output: &mut Vec<u8>, resp3: bool) {
        match &self.body {
            Body::Pushes { resp2, heads } => {
                let at = output.len();
                output.extend_from_slice(resp2);
                if resp3 {
                    heads.iter().for_each(|&head| output[at + head as usize] = b'>');
                }
            }
            Body::Either { resp2, resp3: other } => {
                output.extend_from_slice(if resp3 { other } else { resp2 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &Message, resp3: bool) -> String {
        let mut output = b"before".to_vec();
        message.write(&mut output, resp3);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn pushes_differ_in_their_first_byte_only() {
        let mut message = Message::pushes(1);
        message.push(&[b"message", b"news", b"*3"]);
        message.push(&[b"a"]);
        let resp2 = "before*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\n*3\r\n*1\r\n$1\r\na\r\n";
        assert_eq!(written(&message, false), resp2);
        let resp3 = "before>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\n*3\r\n>1\r\n$1\r\na\r\n";
        assert_eq!(written(&message, true), resp3);
    }

    #[test]
    fn others_are_what_was_written_for_each_protocol() {
        let message = Message::either(1, |reply| {
            if reply.is_resp3() {
                reply.push(1);
                reply.null();
            }
        });
        assert_eq!(written(&message, true), "before>1\r\n_\r\n");
        assert_eq!(written(&message, false), "before");
    }
}
