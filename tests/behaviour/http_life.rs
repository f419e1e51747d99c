//! The server's life: readiness, reload, quit, browsers, prefixes, an orderly end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use perdura::http::{Control, HttpOptions, Readiness};

use crate::server::{options, start};

#[test]
fn health_and_readiness_differ() {
    let server = start(options());
    assert_eq!(server.get("/-/healthy").text(), "Prometheus Server is Healthy.\n");
    assert_eq!(server.get("/-/ready").text(), "Prometheus Server is Ready.\n");
    let head = server.request("HEAD", "/-/ready", "", b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for (readiness, stopping) in [(Readiness::Starting, "false"), (Readiness::Stopping, "true")] {
        server.app.set_readiness(readiness);
        for path in ["/-/ready", "/api/v1/query?query=1"] {
            let reply = server.get(path);
            assert_eq!((reply.status, reply.text()), (503, "Service Unavailable"), "{path}");
            assert_eq!(reply.header("x-prometheus-stopping"), Some(stopping));
        }
        assert_eq!(server.get("/-/healthy").status, 200);
        assert_eq!(server.get("/metrics").status, 200);
    }
}

#[test]
fn reload_asks_the_program_and_tells_its_answer() {
    let mut server = start(options());
    let mut control = std::mem::replace(&mut server.control, tokio::sync::mpsc::channel(1).1);
    let program = std::thread::spawn(move || {
        for answer in [Ok(()), Err("line 3".to_owned())] {
            match control.blocking_recv() {
                Some(Control::Reload(asked)) => asked.send(answer).expect("the handler waits"),
                other => panic!("a reload was asked for, not {other:?}"),
            }
        }
        assert!(matches!(control.blocking_recv(), Some(Control::Quit)));
    });
    assert_eq!(server.get("/-/reload").status, 405);
    assert_eq!(server.request("POST", "/-/reload", "", b"").status, 200);
    let failed = server.request("PUT", "/-/reload", "", b"");
    assert_eq!((failed.status, failed.text()), (500, "failed to reload config: line 3\n"));
    let quit = server.request("POST", "/-/quit", "", b"");
    assert_eq!((quit.status, quit.text()), (200, "Requesting termination... Goodbye!"));
    program.join().expect("the program saw what was asked");
}

#[test]
fn lifecycle_is_off_unless_enabled() {
    let server = start(HttpOptions { enable_lifecycle: false, ..options() });
    for path in ["/-/reload", "/-/quit"] {
        let reply = server.request("POST", path, "", b"");
        assert_eq!((reply.status, reply.text()), (403, "Lifecycle API is not enabled."), "{path}");
        assert_eq!(server.get(path).status, 405);
    }
}

#[test]
fn pages_of_allowed_origins_may_call() {
    let server = start(options());
    for method in ["GET", "OPTIONS"] {
        let allowed = server.request(method, "/api/v1/query?query=1", "Origin: http://a\r\n", b"");
        assert_eq!(allowed.header("access-control-allow-origin"), Some("http://a"), "{method}");
        assert_eq!(allowed.header("access-control-allow-methods"), Some("GET, POST, OPTIONS"));
        let other = server.request(method, "/api/v1/query?query=1", "Origin: http://ab\r\n", b"");
        assert_eq!(other.header("access-control-allow-origin"), None);
    }
    assert_eq!(server.request("OPTIONS", "/api/v1/query", "", b"").status, 204);
    let plain = server.get("/api/v1/query?query=1");
    assert_eq!(plain.header("access-control-allow-headers"), None);
}

#[test]
fn everything_moves_under_the_prefix() {
    let server = start(HttpOptions { route_prefix: "/some/where".to_owned(), ..options() });
    assert_eq!(server.get("/some/where/api/v1/query?query=1").status, 200);
    assert_eq!(server.get("/some/where/-/ready").status, 200);
    assert_eq!(server.get("/api/v1/query?query=1").status, 404);
    let root = server.get("/");
    assert_eq!((root.status, root.header("location")), (302, Some("/some/where")));
}

#[test]
fn a_stopping_server_finishes_what_it_began() {
    let server = start(options());
    let mut early = TcpStream::connect(server.address).expect("the server listens");
    early.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit can be set");
    early.write_all(b"POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\n").expect("the head is read");
    std::thread::sleep(Duration::from_millis(200));
    server.stop_accepting();
    std::thread::sleep(Duration::from_millis(200));
    assert!(TcpStream::connect(server.address).is_err(), "the port is closed");
    early.write_all(b"query=1").expect("the body is read");
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("the answer comes and the connection ends");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"scalar\""), "{answer}");
}
