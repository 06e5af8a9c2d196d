//! The Docker face against engines of a few lines; `tests/checks.rs` runs it against a real one.

use super::facts::point;
use super::*;
use crate::model::ContainerState;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Instant;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// An engine that answers every request with these bytes, or, with none, never.
fn engine(answer: Option<&'static [u8]>) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            if let Some(answer) = answer {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer);
            } else {
                open.push(stream);
            }
        }
    });
    (dir, format!("unix://{}", path.display()))
}

#[test]
fn addresses() {
    for (socket, sound) in [
        ("unix:///var/run/docker.sock", true),
        ("tcp://127.0.0.1:2375", true),
        ("unix://relative", false),
        ("/var/run/docker.sock", false),
        ("https://host", false),
        ("tcp://host:1/path", false),
    ] {
        assert_eq!(Address::parse(socket).is_some(), sound, "{socket}");
    }
}

#[test]
fn names_that_docker_would_not_allow_never_reach_a_path() {
    let (_dir, socket) = engine(None);
    let docker = Docker::connect(&socket, None, LONG).unwrap();
    for name in ["", "../info", "a/b", "a?b", "-a", "a b", "a%2f", "ä"] {
        assert!(matches!(docker.inspect(name), Err(DockerError::Absent { .. })), "{name}");
        assert!(matches!(docker.restart(name, LONG), Err(DockerError::Absent { .. })), "{name}");
    }
}

#[test]
fn a_silent_engine_is_a_timeout_on_every_call() {
    let (_dir, socket) = engine(None);
    let docker = Docker::connect(&socket, None, SHORT).unwrap();
    let start = Instant::now();
    let calls: [Result<(), DockerError>; 5] = [
        docker.list().map(drop),
        docker.inspect("a").map(drop),
        docker.logs("a", LogQuery::default(), &mut |_| ()),
        docker.logs("a", LogQuery { tty: true, ..LogQuery::default() }, &mut |_| ()),
        docker.restart("a", Duration::ZERO),
    ];
    assert!(start.elapsed() < LONG);
    for call in calls {
        assert!(matches!(call, Err(DockerError::Timeout(_))), "{call:?}");
    }
    assert!(docker.stats(&["a".into(), "b".into()], SHORT).iter().all(Result::is_err));
}

#[test]
fn a_body_that_stops_half_way_is_an_error() {
    let (_dir, socket) = engine(Some(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{"));
    assert!(Docker::connect(&socket, None, LONG).unwrap().list().is_err());
}

#[test]
fn no_engine_is_unreachable_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let gone = format!("unix://{}/docker.sock", dir.path().display());
    let refused = dir.path().join("left.sock");
    drop(UnixListener::bind(&refused).unwrap());
    for socket in [gone, format!("unix://{}", refused.display())] {
        let error = Docker::connect(&socket, None, LONG).unwrap().list().unwrap_err();
        assert!(matches!(&error, DockerError::Unreachable(why) if why.contains(&socket)), "{error:?}");
    }
}

#[test]
fn refusals_are_cases() {
    let (_dir, socket) = engine(Some(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 37\r\n\r\n{\"message\":\"No such container: shop\"}\n",
    ));
    let docker = Docker::connect(&socket, None, LONG).unwrap();
    assert_eq!(docker.inspect("shop"), Err(DockerError::Absent { container: "shop".into() }));
    let (_dir, socket) = engine(Some(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"));
    let error = Docker::connect(&socket, None, LONG).unwrap().list().unwrap_err();
    assert!(matches!(&error, DockerError::Denied(why) if why.ends_with("refuses: no")), "{error:?}");
}

#[test]
fn one_unknown_state_word_hides_no_container() {
    let (_dir, socket) = engine(Some(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"Id\":\"1\",\"Names\":[\"/other/link\",\"/one\"],\"State\":\"hibernating\",\"Status\":\"Zzz\",\"Labels\":null},{\"Id\":\"2\",\"Names\":[],\"State\":\"running\"}]",
    ));
    let listed = Docker::connect(&socket, None, LONG).unwrap().list().unwrap();
    let names: Vec<_> = listed.iter().map(|c| (c.name(), ContainerState::from_word(&c.state))).collect();
    assert_eq!(names, [("one", ContainerState::Other("hibernating".into())), ("2", ContainerState::Running)]);
}

#[test]
fn both_kinds_of_log_stream_are_handed_over() {
    let collect = |socket: &str, tty| {
        let mut seen = Vec::new();
        let query = LogQuery { tty, ..LogQuery::default() };
        let docker = Docker::connect(socket, None, LONG).unwrap();
        docker.logs("a", query, &mut |c| seen.push((c.stream, c.bytes.to_vec()))).unwrap();
        seen
    };
    let (_dir, socket) =
        engine(Some(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x01\0\0\0\0\0\0\x03ab\n\x02\0\0\0\0\0\0\x02c\n"));
    let expected = [(LogStream::Stdout, b"ab\n".to_vec()), (LogStream::Stderr, b"c\n".to_vec())];
    assert_eq!(collect(&socket, false), expected);
    let (_dir, socket) = engine(Some(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nno newline \x1b[1m"));
    let whole: Vec<u8> = collect(&socket, true).into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(whole, b"no newline \x1b[1m");
}

#[test]
fn year_one_means_never() {
    assert_eq!(point(Some("0001-01-01T00:00:00Z")), None);
    assert_eq!(point(Some("2026-01-02T03:04:05.678Z")).map(|t| t.as_second()), Some(1_767_323_045));
    assert_eq!(point(Some("")), None);
}
