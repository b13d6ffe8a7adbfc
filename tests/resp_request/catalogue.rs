//! The catalogue of bad inputs, with Redis's texts. Each row is read at once and byte by byte.
//! Texts and outcomes were taken from Redis 7.0.15; rows where the parser differs say so.

use super::{Connection, Request, connection_after, encode};
use pantry::resp::request::{Limits, ProtocolError};

/// What has become of the connection after the row's requests.
enum End {
    /// It waits for the next request, and no byte is pending.
    Idle,
    /// It waits for the rest of a request.
    Waiting,
    /// It was closed with this text after `-ERR Protocol error: `.
    Error(&'static str),
    /// It was closed without a word.
    Silent,
}
use End::{Error, Idle, Silent, Waiting};

type Row<'a> = (&'static str, &'a [u8], &'a [&'a [&'a [u8]]], End);

const PING: &[&[u8]] = &[b"PING"];

fn check_rows(limits: Limits, rows: &[Row]) {
    for (id, input, requests, end) in rows {
        check_row(&format!("{id} at once"), connection_after(limits, [*input]), requests, end);
        check_row(
            &format!("{id} by bytes"),
            connection_after(limits, input.chunks(1)),
            requests,
            end,
        );
    }
}

fn check_row(id: &str, connection: Connection, requests: &[&[&[u8]]], end: &End) {
    let expected: Vec<Request> =
        requests.iter().map(|args| args.iter().map(|arg| arg.to_vec()).collect()).collect();
    assert_eq!(connection.requests, expected, "{id}");
    let reply = connection.error.map(|error| error.reply());
    match end {
        Idle => {
            assert_eq!(reply, None, "{id}");
            assert_eq!(connection.buffer, b"", "{id}");
        }
        Waiting => {
            assert_eq!(reply, None, "{id}");
            assert_ne!(connection.buffer, b"", "{id}");
        }
        Error(text) => assert_eq!(reply, Some(Some(format!("Protocol error: {text}"))), "{id}"),
        Silent => assert_eq!(reply, Some(None), "{id}"),
    }
}

#[test]
fn frames_without_a_command_are_skipped() {
    check_rows(
        Limits::default(),
        &[
            ("R01", b"\r\nPING\r\n", &[PING], Idle),
            ("R01 blanks", b" \t\x0b\x0c \r\n\n\r\r\nPING\r\n\r\n", &[PING], Idle),
            ("R02", b"PING\n", &[PING], Idle),
            ("R03", b"*-10\r\nPING\r\n", &[PING], Idle),
            ("R04", b"*0\r\nPING\r\n", &[PING], Idle),
            ("R05", b"*-1\r\nPING\r\n", &[PING], Idle),
            ("smallest", b"*-9223372036854775808\r\n*1\r\n$4\r\nPING\r\n", &[PING], Idle),
            (
                "state",
                b"*0\r\n\r\n*-1\r\n*1\r\n$4\r\nPING\r\n*0\r\nPING\r\n*0\r\n",
                &[PING, PING],
                Idle,
            ),
            ("state, inline empty", b"\"\"\r\n*0\r\n'' ''\n", &[&[b""], &[b"", b""]], Idle),
        ],
    );
}

#[test]
fn array_lengths() {
    let invalid = || Error("invalid multibulk length");
    check_rows(
        Limits::default(),
        &[
            ("R06", b"*3000000000\r\n", &[], invalid()),
            // Redis waits for these two.
            ("R07", b"*2147483647\r\n", &[], invalid()),
            ("R69", b"*1048577\r\n", &[], invalid()),
            ("R69 largest", b"*1048576\r\n", &[], Waiting),
            ("R08", b"*9223372036854775807\r\n", &[], invalid()),
            ("R09", b"*18446744073709551616\r\n", &[], invalid()),
            ("below the smallest", b"*-9223372036854775809\r\n", &[], invalid()),
            ("R10", b"*+1\r\n", &[], invalid()),
            ("R11", b"*01\r\n", &[], invalid()),
            ("R12", b"* 1\r\n", &[], invalid()),
            ("R13", b"*1a\r\n", &[], invalid()),
            ("empty", b"*\r\n", &[], invalid()),
            ("minus", b"*-\r\n", &[], invalid()),
            ("minus zero", b"*-0\r\n", &[], invalid()),
            ("two zeros", b"*00\r\n", &[], invalid()),
            ("NUL", b"*\x001\r\n", &[], invalid()),
            ("after a command", b"PING\r\n*x\r\nPING\r\n", &[PING], invalid()),
            ("LF only", b"*1\n$4\nPING\n", &[], Waiting),
            // Redis skips whatever follows the CR.
            ("CR without LF", b"*1\rX$4\r\nPING\r\n", &[], invalid()),
        ],
    );
}

#[test]
fn bulk_lengths() {
    let invalid = || Error("invalid bulk length");
    check_rows(
        Limits::default(),
        &[
            ("R15", b"*1\r\n$-10\r\n", &[], invalid()),
            ("R16", b"*1\r\n$-1\r\n", &[], invalid()),
            ("R17", b"*1\r\n$536870913\r\n", &[], invalid()),
            ("R18", b"*1\r\n$536870912\r\n", &[], Waiting),
            ("R19", b"*1\r\n$blabla\r\n", &[], invalid()),
            ("R75", b"*1\r\n$0x4\r\n", &[], invalid()),
            ("empty", b"*1\r\n$\r\n", &[], invalid()),
            ("minus zero", b"*1\r\n$-0\r\n", &[], invalid()),
            ("leading zero", b"*1\r\n$04\r\nPING\r\n", &[], invalid()),
            ("plus", b"*1\r\n$+4\r\nPING\r\n", &[], invalid()),
            ("blank", b"*1\r\n$4 \r\nPING\r\n", &[], invalid()),
            ("beyond 64 bits", b"*1\r\n$9223372036854775808\r\n", &[], invalid()),
            ("second", b"*2\r\n$4\r\nPING\r\n$x\r\n", &[], invalid()),
            ("CR without LF", b"*1\r\n$4\rXPING\r\n", &[], invalid()),
        ],
    );
}

#[test]
fn arguments_that_are_no_bulks() {
    let deep = b"*1\r\n".repeat(10_000);
    check_rows(
        Limits::default(),
        &[
            ("R22", b"*1\r\n:1\r\n", &[], Error("expected '$', got ':'")),
            ("R23", b"*1\r\n*1\r\n$4\r\nPING\r\n", &[], Error("expected '$', got '*'")),
            ("R24", &deep, &[], Error("expected '$', got '*'")),
            ("letter", b"*2\r\n$3\r\nGET\r\nfooz\r\n", &[], Error("expected '$', got 'f'")),
            // Redis waits for the end of the line.
            ("unfinished", b"*1\r\nx", &[], Error("expected '$', got 'x'")),
            ("CR", b"*1\r\n\r\n", &[], Error("expected '$', got ' '")),
            ("LF", b"*1\r\n\n\r\n", &[], Error("expected '$', got ' '")),
            ("high byte", b"*1\r\n\xff1\r\n", &[], Error("expected '$', got '\\xff'")),
            ("NUL", b"*1\r\n\x001\r\n", &[], Error("expected '$', got '\\x00'")),
        ],
    );
}

#[test]
fn bulk_ends() {
    let end = || Error("expected CRLF after bulk");
    check_rows(
        Limits::default(),
        &[
            // Redis takes any two bytes for the end.
            ("R20", b"*1\r\n$2\r\nhiXX*1\r\n$4\r\nPING\r\n", &[], end()),
            ("R21", b"*1\r\n$2\r\nhello\r\n", &[], end()),
            ("swapped", b"*1\r\n$4\r\nPING\n\r", &[], end()),
            ("CR only", b"*1\r\n$4\r\nPING\r*", &[], end()),
            ("LF only", b"*1\r\n$4\r\nPING\n*", &[], end()),
            ("one byte so far", b"*1\r\n$4\r\nPINGX", &[], Waiting),
            ("empty bulk", b"*1\r\n$0\r\nPING\r\n", &[], end()),
            ("bytes are free", b"*1\r\n$6\r\n\r\n$*\0\xff\r\n", &[&[b"\r\n$*\0\xff"]], Idle),
        ],
    );
}

#[test]
fn lines_that_never_end() {
    let stars = [&b"*"[..], &[b'1'; 70_000]].concat();
    let bulks = [&b"*1\r\n$"[..], &[b'1'; 70_000]].concat();
    let ended = [&stars[..], b"\r\n"].concat();
    let within = [&b"*"[..], &[b'1'; 65_535], b"\r\n"].concat();
    let inline = [b'A'; 65_537];
    let inline_ended = [&inline[..], b"\n"].concat();
    let inline_fits = [&inline[1..], b"\n"].concat();
    let desync = [b'$', 0].into_iter().chain(std::iter::repeat_n(b'p', 70_000)).collect::<Vec<_>>();
    check_rows(
        Limits::default(),
        &[
            ("R14", &stars, &[], Error("too big mbulk count string")),
            ("R14 bulk", &bulks, &[], Error("too big bulk count string")),
            ("still open", &stars[..65_536], &[], Waiting),
            // Redis looks at the number if the end came in the same read.
            ("R14 ended", &ended, &[], Error("too big mbulk count string")),
            ("R14 within", &within, &[], Error("invalid multibulk length")),
            ("R26", &inline, &[], Error("too big inline request")),
            ("R26 ended", &inline_ended, &[], Error("too big inline request")),
            ("R26 still open", &inline[1..], &[], Waiting),
            ("R26 fits", &inline_fits, &[&[&inline[1..]]], Idle),
            ("desync", &desync, &[], Error("too big inline request")),
        ],
    );
}

#[test]
fn inline_commands() {
    let quotes = || Error("unbalanced quotes in request");
    let nuls = [0u8; 100];
    let nul_line = [&nuls[..], b"\r\nPING\r\n"].concat();
    check_rows(
        Limits::default(),
        &[
            // Redis never gets past a NUL; here it is an unknown command.
            ("R25", &nul_line, &[&[&nuls], PING], Idle),
            ("R27", b"set \"a b\r\n", &[], quotes()),
            ("R27 single", b"set 'a b\r\n", &[], quotes()),
            ("R27 escaped", b"set \"a\\\"\r\n", &[], quotes()),
            ("R27 backslash", b"set \"a\\\r\n", &[], quotes()),
            ("R29", b"echo \"a\"b\r\n", &[], quotes()),
            ("R29 single", b"echo 'a'b\r\n", &[], quotes()),
            ("R29 quote", b"echo \"a\"\"b\"\r\n", &[], quotes()),
            ("R28", b"echo \"\\x00\\xff\\x4A\"\r\n", &[&[b"echo", b"\x00\xffJ"]], Idle),
            ("half hex", b"echo \"\\x4g\\xA\\x\"\r\n", &[&[b"echo", b"x4gxAx"]], Idle),
            (
                "escapes",
                b"a \"\\n\\r\\t\\b\\a\\\\\\\"\\q\"\n",
                &[&[b"a", b"\n\r\t\x08\x07\\\"q"]],
                Idle,
            ),
            ("single", b"echo 'it\\'s \\n \\\\ '\n", &[&[b"echo", b"it's \\n \\\\ "]], Idle),
            ("quote inside", b"echo fo\"o b\" 'x'\n", &[&[b"echo", b"foo b", b"x"]], Idle),
            ("quote of a quote", b"echo \"'\" '\"'\n", &[&[b"echo", b"'", b"\""]], Idle),
            ("R30 inline", b"\"\"\r\n", &[&[b""]], Idle),
            ("R30", b"*1\r\n$0\r\n\r\n", &[&[b""]], Idle),
            ("vertical tab", b"\x0b\x0ca\x0bb \"c\"\x0b d\n", &[&[b"a\x0bb", b"c", b"d"]], Idle),
            ("backslash", b"a\\n \\\"b\"\n", &[&[b"a\\n", b"\\b"]], Idle),
            ("R73", b"PING\rPING\r", &[], Waiting),
            ("R73 ended", b"PING\rPING\r\n", &[&[b"PING", b"PING"]], Idle),
            ("R34", b"\xff\xfe\x80 \xc3\x28\r\n", &[&[b"\xff\xfe\x80", b"\xc3\x28"]], Idle),
            ("bulk first", b"$4\r\nPING\r\n", &[&[b"$4"], PING], Idle),
        ],
    );
}

#[test]
fn other_protocols() {
    let map = || Error("expected '*', got '%'");
    check_rows(
        Limits::default(),
        &[
            ("R36", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[], Silent),
            ("R37", b"POST /x HTTP/1.1\r\n", &[], Silent),
            ("R37 any case", b"post\r\n", &[], Silent),
            ("R38", b"Host: localhost\r\n", &[], Silent),
            ("R38 any case", b"HOST: x y\r\n", &[], Silent),
            ("method", b"OPTIONS * HTTP/1.1\r\n", &[], Silent),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[], Silent),
            (
                "a GET of ours",
                b"GET /x\r\nget HTTP/1.1\r\n",
                &[&[b"GET", b"/x"], &[b"get", b"HTTP/1.1"]],
                Idle,
            ),
            ("a SET of ours", b"SET /x HTTP/1.1\r\n", &[&[b"SET", b"/x", b"HTTP/1.1"]], Idle),
            ("not inline", b"*1\r\n$4\r\nPOST\r\n", &[&[b"POST"]], Idle),
            ("R39", b"\x16\x03\x01\x02\x00\x01\x00", &[], Silent),
            ("R39 half", b"\x16", &[], Waiting),
            ("R39 not TLS", b"\x16\x04\n", &[&[b"\x16\x04"]], Idle),
            ("R40", b"SSH-2.0-x\r\n", &[&[b"SSH-2.0-x"]], Idle),
            ("R76", b"\xef\xbb\xbfPING\r\n", &[&[b"\xef\xbb\xbfPING"]], Idle),
            ("R77", b"PROXY TCP4 a b\r\n", &[&[b"PROXY", b"TCP4", b"a", b"b"]], Idle),
            ("R42", b"%1\r\n$4\r\nPING\r\n$1\r\nx\r\n", &[], map()),
            ("R42 set", b"~1\r\n$4\r\nPING\r\n", &[], Error("expected '*', got '~'")),
            ("R42 push", b">1", &[], Error("expected '*', got '>'")),
            ("R42 attribute", b"|1", &[], Error("expected '*', got '|'")),
            ("R42 half", b"%", &[], Waiting),
            ("R42 word", b"%x\n", &[&[b"%x"]], Idle),
        ],
    );
}

#[test]
fn before_authentication() {
    let array = || Error("unauthenticated multibulk length");
    let bulk = || Error("unauthenticated bulk length");
    check_rows(
        Limits::UNAUTHENTICATED,
        &[
            ("A1", b"*100\r\n", &[], array()),
            ("A2", b"*11\r\n", &[], array()),
            ("A2 largest", b"*10\r\n", &[], Waiting),
            ("A2 beyond", b"*2147483647\r\n", &[], array()),
            ("R06", b"*2147483648\r\n", &[], Error("invalid multibulk length")),
            ("A3", b"*1\r\n$100000000\r\n", &[], bulk()),
            ("A4", b"*1\r\n$16385\r\n", &[], bulk()),
            ("A4 largest", b"*1\r\n$16384\r\n", &[], Waiting),
            ("R17", b"*1\r\n$536870913\r\n", &[], Error("invalid bulk length")),
        ],
    );
}

#[test]
fn limits_are_kept_whatever_their_size() {
    let args = Limits { args_max: 2, ..Limits::default() };
    check_rows(
        args,
        &[
            ("two", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", &[&[b"a", b"b"]], Idle),
            ("three", b"*3\r\n", &[], Error("invalid multibulk length")),
        ],
    );
    let bulk = Limits { bulk_len_max_bytes: 3, ..Limits::default() };
    check_rows(
        bulk,
        &[
            ("three", b"*1\r\n$3\r\nabc\r\n", &[&[b"abc"]], Idle),
            ("four", b"*1\r\n$4\r\n", &[], Error("invalid bulk length")),
        ],
    );
    let inline = Limits { inline_max_bytes: 4, ..Limits::default() };
    check_rows(
        inline,
        &[
            ("four", b"PING\nabc\r\n", &[PING, &[b"abc"]], Idle),
            ("five", b"PING\r\n", &[], Error("too big inline request")),
        ],
    );
    // Two arguments of one byte: 4 + 2 * 7 bytes.
    let request = Limits { request_max_bytes: 18, ..Limits::default() };
    let two: &[&[u8]] = &[b"a", b"b"];
    check_rows(
        request,
        &[
            ("18", b"*0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", &[two], Idle),
            (
                "18 twice",
                b"*2\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
                &[two, two],
                Idle,
            ),
            ("19", b"*2\r\n$1\r\na\r\n$2\r\n", &[], Silent),
            ("at once", b"*1\r\n$536870912\r\n", &[], Silent),
        ],
    );
}

#[test]
fn limits_have_the_values_that_are_promised() {
    let Limits { bulk_len_max_bytes, args_max, inline_max_bytes, request_max_bytes, authenticated } =
        Limits::default();
    assert_eq!((bulk_len_max_bytes, args_max), (512 << 20, 1 << 20));
    assert_eq!((inline_max_bytes, request_max_bytes, authenticated), (64 << 10, 1 << 30, true));
    let Limits { bulk_len_max_bytes, args_max, inline_max_bytes, request_max_bytes, authenticated } =
        Limits::UNAUTHENTICATED;
    assert_eq!((bulk_len_max_bytes, args_max), (16 << 10, 10));
    assert_eq!((inline_max_bytes, request_max_bytes, authenticated), (64 << 10, 1 << 20, false));
}

#[test]
fn odd_but_valid_requests() {
    let mut pipeline = encode(&["PING"]).repeat(10_000);
    pipeline.extend(encode(&["QUIT"]));
    let connection = connection_after(Limits::default(), [&pipeline[..]]);
    assert_eq!(connection.requests.len(), 10_001, "R74");
    assert_eq!(connection.requests[10_000], [b"QUIT"], "R74");

    let long_name = vec![b'x'; 1_000_000];
    for args in [vec![&b"a\r\nb"[..], b"\r\n"], vec![&long_name[..]], vec![&b""[..], b"", b""]] {
        let bytes = encode(&args);
        let connection = connection_after(Limits::default(), bytes.chunks(1000));
        assert_eq!(connection.requests, [args], "R31 to R33, R94");
    }
}

#[test]
fn an_error_says_in_one_line_of_ascii_what_is_wrong() {
    for byte in 0..=255 {
        for error in [ProtocolError::ExpectedBulk(byte), ProtocolError::ExpectedArray(byte)] {
            let reply = error.reply().unwrap();
            assert!(reply.bytes().all(|b| (b' '..=b'~').contains(&b)), "{reply:?}");
        }
    }
    for error in [ProtocolError::Http, ProtocolError::Tls] {
        assert_eq!(error.reply(), None);
        assert_ne!(error.to_string(), "");
    }
}
