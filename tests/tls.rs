//! TLS on both doors, with real connections: what is served under it, who is let in, and how
//! certificates are renewed. What HTTP and RESP mean is tested elsewhere.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "http_support/mod.rs"]
mod http_support;
#[path = "support/scratch.rs"]
mod scratch;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use http_support::{LONG, Pantry};
use scratch::Scratch;

/// An authority, and where the files it has issued are.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    dir: PathBuf,
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Authority {
    /// Its own certificate is in `ca.pem`.
    fn new(dir: &Path) -> Authority {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        std::fs::write(dir.join("ca.pem"), certificate.pem()).unwrap();
        let certificate = certificate.der().clone();
        Authority { issuer: Issuer::new(parameters, key), certificate, dir: dir.to_owned() }
    }

    /// Writes a certificate for `name` to `FILE.pem`, its key to `FILE.key`.
    fn issue(&self, file: &str, name: &str) {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(file, "pem"), certificate.pem()).unwrap();
        std::fs::write(self.path(file, "key"), key.serialize_pem()).unwrap();
    }

    fn path(&self, file: &str, ending: &str) -> PathBuf {
        self.dir.join(format!("{file}.{ending}"))
    }

    /// A client that trusts this authority, and shows the certificate of `file` if there is one.
    fn connect(&self, at: SocketAddr, file: Option<&str>) -> Stream {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match file {
            None => config.with_no_client_auth(),
            Some(file) => {
                let certificate = CertificateDer::from_pem_file(self.path(file, "pem")).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.path(file, "key")).unwrap();
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TcpStream::connect(at).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
    }
}

/// A server with TLS on both doors.
struct Served {
    pantry: Pantry,
    authority: Authority,
    redis: SocketAddr,
    http: SocketAddr,
    _scratch: Scratch,
}

impl Served {
    fn start(name: &str, flags: &[&str]) -> Served {
        let scratch = Scratch::new(name);
        let authority = Authority::new(scratch.path());
        authority.issue("server", "server");
        authority.issue("till", "till-7");
        let [redis, http] = free_ports();
        let paths = [("server", "pem"), ("server", "key"), ("ca", "pem")]
            .map(|(file, ending)| authority.path(file, ending).to_str().unwrap().to_owned());
        let ports = [redis, http].map(|at| at.port().to_string());
        let mut all = vec!["--tls-port", &ports[0], "--http-tls-port", &ports[1]];
        all.extend(["--tls-cert-file", &paths[0], "--tls-key-file", &paths[1]]);
        all.extend(["--tls-ca-cert-file", &paths[2]]);
        all.extend(flags);
        let pantry = Pantry::start(&all);
        Served { pantry, authority, redis, http, _scratch: scratch }
    }
}

fn free_ports() -> [SocketAddr; 2] {
    let free = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    free.map(|free| free.local_addr().unwrap())
}

/// What comes back for a request, until so many bytes or the end.
fn ask(stream: &mut Stream, request: &[u8], answer_len: usize) -> std::io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut answer = vec![0; answer_len];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn redis_clients_are_served_and_values_of_megabytes_pass() {
    let served = Served::start("tls-redis", &["--tls-auth-clients", "no"]);
    let mut client = served.authority.connect(served.redis, None);
    assert_eq!(ask(&mut client, b"PING\r\n", 7).unwrap(), b"+PONG\r\n");

    let value = vec![b'v'; 3 << 20];
    let mut request = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len()).into_bytes();
    request.extend_from_slice(&value);
    request.extend_from_slice(b"\r\n");
    assert_eq!(ask(&mut client, &request, 5).unwrap(), b"+OK\r\n");
    // All are asked for before the first is read: the server's socket is full in between.
    let mut wanted = format!("${}\r\n", value.len()).into_bytes();
    wanted.extend_from_slice(&value);
    wanted.extend_from_slice(b"\r\n");
    let gets = b"GET k\r\n".repeat(5);
    client.write_all(&gets).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..5 {
        let mut answer = vec![0; wanted.len()];
        client.read_exact(&mut answer).unwrap();
        assert!(answer == wanted);
    }
    // The plain door is still there.
    let mut plain = TcpStream::connect(served.pantry.redis).unwrap();
    plain.write_all(b"STRLEN k\r\n").unwrap();
    let mut answer = [0; 10];
    plain.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b":3145728\r\n");
}

#[test]
fn http_is_served_with_and_without_a_certificate() {
    let served = Served::start("tls-http", &[]);
    let request = b"GET /v4/butlerping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    for file in [None, Some("till")] {
        let mut client = served.authority.connect(served.http, file);
        let answer = ask(&mut client, request, 15).unwrap();
        assert_eq!(answer, b"HTTP/1.1 200 OK");
        assert_eq!(client.conn.alpn_protocol(), None, "it asked for none");
    }
}

#[test]
fn links_lead_to_the_door_that_was_asked() {
    let served = Served::start("tls-links", &[]);
    for number in 0..100 {
        served.pantry.request("PUT", &format!("/v1/namespaces/n{number}"), &[], b"");
    }
    let mut client = served.authority.connect(served.http, None);
    let host = format!("localhost:{}", served.http.port());
    let request =
        format!("GET /v1/namespaces?limit=1 HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // Whoever closes without a last word of TLS has said all.
    let _ = client.read_to_string(&mut answer);
    let wanted = format!("\"href\":\"https://{host}/v1/namespaces?limit=1&next=");
    assert!(answer.contains(&wanted), "{answer}");
}

#[test]
fn doors_move_all_or_none() {
    let served = Served::start("tls-doors", &["--tls-auth-clients", "no"]);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let [free, _] = free_ports();
    let mut redis = redis::Client::open(format!("redis://{}", served.pantry.redis))
        .and_then(|client| client.get_connection())
        .unwrap();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("port").arg(free.port()).arg("tls-protocols").arg("TLSv1.3");
    let mut refused = set.clone();
    refused.arg("tls-port").arg(taken.local_addr().unwrap().port());
    let text = refused.exec(&mut redis).unwrap_err().to_string();
    assert!(text.contains("Unable to listen on this port"), "{text}");
    assert!(TcpStream::connect(free).is_err());
    assert!(TcpStream::connect(served.pantry.redis).is_ok());
    let mut client = served.authority.connect(served.redis, None);
    assert_eq!(ask(&mut client, b"PING\r\n", 7).unwrap(), b"+PONG\r\n");
    set.exec(&mut redis).unwrap();
    assert!(TcpStream::connect(free).is_ok());
    let deadline = Instant::now() + LONG;
    while TcpStream::connect(served.pantry.redis).is_ok() {
        assert!(Instant::now() < deadline, "the old door stays open");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn redis_clients_show_a_certificate_of_the_authority() {
    let served = Served::start("tls-auth", &[]);
    let mut known = served.authority.connect(served.redis, Some("till"));
    assert_eq!(ask(&mut known, b"PING\r\n", 7).unwrap(), b"+PONG\r\n");

    let mut none = served.authority.connect(served.redis, None);
    assert!(ask(&mut none, b"PING\r\n", 7).is_err());

    let elsewhere = Scratch::new("tls-elsewhere");
    let other = Authority::new(elsewhere.path());
    other.issue("till", "till-7");
    for ending in ["pem", "key"] {
        std::fs::copy(other.path("till", ending), served.authority.path("forged", ending)).unwrap();
    }
    let mut forged = served.authority.connect(served.redis, Some("forged"));
    assert!(ask(&mut forged, b"PING\r\n", 7).is_err());
    assert_eq!(ask(&mut known, b"PING\r\n", 7).unwrap(), b"+PONG\r\n", "others do not notice");
}

#[test]
fn who_speaks_no_tls_is_cut_and_others_are_served() {
    let served = Served::start("tls-plain", &["--tls-auth-clients", "no"]);
    for at in [served.redis, served.http] {
        for bytes in [&b"PING\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\0"] {
            let mut plain = TcpStream::connect(at).unwrap();
            plain.set_read_timeout(Some(LONG)).unwrap();
            plain.write_all(bytes).unwrap();
            plain.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            // A reset is an end, too.
            let _ = plain.read_to_end(&mut answer);
            assert!(answer.len() < 16, "an alert at most: {answer:?}");
        }
    }
    let mut client = served.authority.connect(served.redis, None);
    assert_eq!(ask(&mut client, b"PING\r\n", 7).unwrap(), b"+PONG\r\n");
}

/// The certificates that the server shows now, at the Redis door and at the HTTP door.
fn shown(served: &Served) -> [Vec<u8>; 2] {
    let request = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    [(served.redis, &b"PING\r\n"[..], 7), (served.http, request, 15)].map(|(at, request, len)| {
        let mut client = served.authority.connect(at, None);
        ask(&mut client, request, len).unwrap();
        client.conn.peer_certificates().unwrap()[0].to_vec()
    })
}

#[test]
fn a_hangup_renews_certificates_and_a_bad_file_changes_nothing() {
    let served = Served::start("tls-renew", &["--tls-auth-clients", "no"]);
    let mut old = served.authority.connect(served.redis, None);
    assert_eq!(ask(&mut old, b"PING\r\n", 7).unwrap(), b"+PONG\r\n");
    let first = shown(&served);
    served.authority.issue("server", "server");
    assert_eq!(shown(&served), first, "nobody has asked yet");
    served.pantry.signal("HUP");
    let deadline = Instant::now() + LONG;
    while shown(&served).iter().zip(&first).any(|(now, first)| now == first) {
        assert!(Instant::now() < deadline, "the new certificate is not shown");
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = shown(&served);

    std::fs::write(served.authority.path("server", "pem"), "no certificate").unwrap();
    served.pantry.signal("HUP");
    let mut admin = served.authority.connect(served.redis, None);
    let key = served.authority.path("till", "key").to_str().unwrap().to_owned();
    let set = format!("CONFIG SET tls-key-file {key}\r\n");
    let wanted = "-ERR CONFIG SET failed (possibly related to argument 'tls-key-file') - Unable to \
                  update TLS configuration. Check server logs.\r\n";
    let answer = ask(&mut admin, set.as_bytes(), wanted.len()).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), wanted);
    assert_eq!(shown(&served), second);
    assert_eq!(ask(&mut old, b"PING\r\n", 7).unwrap(), b"+PONG\r\n", "connections stay");
}

#[test]
fn what_can_not_be_served_does_not_start() {
    let scratch = Scratch::new("tls-start");
    let authority = Authority::new(scratch.path());
    authority.issue("server", "server");
    authority.issue("other", "other");
    let path = |file, ending| authority.path(file, ending).to_str().unwrap().to_owned();
    let (cert, key, other) = (path("server", "pem"), path("server", "key"), path("other", "key"));
    let [redis, _] = free_ports();
    let port = redis.port().to_string();
    for (flags, wanted) in [
        (vec![], "tls-cert-file"),
        (vec!["--tls-cert-file", &cert, "--tls-key-file", "/nonexistent"], "/nonexistent"),
        (vec!["--tls-cert-file", &cert, "--tls-key-file", &key], "tls-auth-clients no"),
        (
            vec!["--tls-cert-file", &cert, "--tls-key-file", &other, "--tls-auth-clients", "no"],
            "does not fit",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_pantry"))
            .args(["--port", "0", "--http-port", "0", "--tls-port", &port])
            .args(["--appendonly", "no", "--dir", "target/no-data"])
            .args(&flags)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(wanted), "{flags:?}: {text}");
    }
}

#[test]
fn a_certificate_acts_as_its_user_at_both_doors() {
    let users = Scratch::new("tls-users");
    let file = users.path().join("users.acl");
    let text = "user default off\nuser till-7 on resetpass ~* +@hash +acl\nuser off-8 off +@all\n";
    std::fs::write(&file, text).unwrap();
    let flags = ["--aclfile", file.to_str().unwrap(), "--tls-auth-clients", "optional"];
    let served =
        Served::start("tls-certified", &[&flags[..], &["--tls-auth-clients-user", "CN"]].concat());
    served.authority.issue("stranger", "stranger");
    served.authority.issue("off", "off-8");

    let mut till = served.authority.connect(served.redis, Some("till"));
    assert_eq!(ask(&mut till, b"ACL WHOAMI\r\n", 12).unwrap(), b"$6\r\ntill-7\r\n");
    assert_eq!(ask(&mut till, b"HSET n k v\r\n", 4).unwrap(), b":1\r\n");
    for file in [None, Some("stranger"), Some("off")] {
        let mut other = served.authority.connect(served.redis, file);
        assert_eq!(ask(&mut other, b"HGET n k\r\n", 7).unwrap(), b"-NOAUTH", "{file:?}");
    }
    let got = ask(&mut till, b"ACL LOG 1\r\n", 160).unwrap();
    let got = String::from_utf8_lossy(&got);
    assert!(got.contains("tls-cert") && got.contains("off-8"), "{got}");

    let status = |file: Option<&str>, header: &str| {
        let mut client = served.authority.connect(served.http, file);
        let request = format!(
            "GET /v1/get?namespace=n&key=k HTTP/1.1\r\nhost: localhost\r\n{header}connection: close\r\n\r\n"
        );
        let answer = ask(&mut client, request.as_bytes(), 12).unwrap();
        String::from_utf8(answer[9..].to_vec()).unwrap()
    };
    assert_eq!(status(Some("till"), ""), "200");
    for file in [None, Some("stranger"), Some("off")] {
        assert_eq!(status(file, ""), "401", "{file:?}");
    }
    // What is said in the request counts more.
    assert_eq!(status(Some("till"), "authorization: Bearer wrong\r\n"), "401");
}

#[test]
fn without_the_directive_a_certificate_only_opens_the_door() {
    let served = Served::start("tls-uncertified", &[]);
    let mut till = served.authority.connect(served.redis, Some("till"));
    assert_eq!(ask(&mut till, b"ACL WHOAMI\r\n", 13).unwrap(), b"$7\r\ndefault\r\n");
}
