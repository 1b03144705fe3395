//! The head of an HTTP/1.1 answer.

use crate::failure::Failure;

/// The head of an HTTP/1.1 answer, as far as this crate cares.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) generation: Option<u64>,
    pub(super) close: bool,
    pub(super) framing: Framing,
}

/// How one knows where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
    /// By the end of the connection, if there is a body at all. Such a body cannot be told from one that was cut.
    Unknown,
}

impl Head {
    /// Parses everything up to the empty line.
    pub(super) fn parse(head: &[u8]) -> Result<Self, Failure> {
        let odd = || Failure::wrong(format_args!("no HTTP/1.1: {:?}", String::from_utf8_lossy(head)));
        let text = std::str::from_utf8(head).map_err(|_| odd())?;
        let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|line| line.get(..3));
        let status = status.and_then(|status| status.parse().ok()).ok_or_else(odd)?;
        let mut parsed = Self { status, generation: None, close: false, framing: Framing::Unknown };
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(odd)?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "connection" => parsed.close |= value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")),
                "content-length" => parsed.framing = Framing::Length(value.parse().map_err(|_| odd())?),
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => parsed.framing = Framing::Chunked,
                "transfer-encoding" => return Err(odd()),
                "x-generation" => parsed.generation = Some(value.parse().map_err(|_| odd())?),
                _ => {}
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_read_and_the_rest_ignored() {
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\ndate: now\r\nX-Generation: 3\r\nconnection: x, Close\r\n\r\n";
        let expected = Head { status: 200, generation: Some(3), close: true, framing: Framing::Length(11) };
        assert_eq!(Head::parse(head).unwrap(), expected);
    }

    #[test]
    fn what_is_no_http_is_wrong() {
        for head in
            ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 2\r\n\r\n", "HTTP/1.1 200\r\nx\r\n\r\n", "\r\n\r\n", "garbage"]
        {
            assert!(Head::parse(head.as_bytes()).is_err(), "{head:?}");
        }
        for header in ["content-length: -1", "transfer-encoding: gzip", "x-generation: new"] {
            assert!(Head::parse(format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n").as_bytes()).is_err(), "{header}");
        }
    }
}
