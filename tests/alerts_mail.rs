//! Mail, through a server that speaks SMTP and reads the message.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use support::{Mail, Manners, Ran, Scene, SmtpServer, healer, spawn_command};

/// A service whose fix is held and mailed; `email` is what stands in the table.
fn mailing(email: &str) -> Scene {
    let scene = Scene::new(|p| {
        p.confidence = "60".into();
        p.rest = format!("[alerts]\nemail = {{ {email} }}");
    });
    scene.log_errors(20);
    scene
}

/// A pass that believes the test server's certificate.
fn heal(scene: &Scene) -> Ran {
    let mut command = scene.root.command(&["heal"]);
    command.env("SSL_CERT_FILE", SmtpServer::authority());
    spawn_command(command).wait()
}

fn login() -> Option<(String, String)> {
    Some(("healer@x".to_owned(), "p:a/s s".to_owned()))
}

const LOGIN: &str = "healer%40x:p%3Aa%2Fs%20s@";

#[track_caller]
fn one(server: &SmtpServer) -> Mail {
    let [mail] = server.wait_for_mails(1).try_into().unwrap();
    mail
}

#[test]
fn a_message_says_what_where_why_with_the_diff_and_what_to_type() {
    let server = SmtpServer::start(Manners::default());
    let scene = mailing(&format!("to = \"ops@example.org\", smtp = \"smtp://127.0.0.1:{}\"", server.port()));
    heal(&scene).expect_code(10);
    let mail = one(&server);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(
        (mail.to.as_slice(), mail.login.clone(), mail.encrypted),
        (["ops@example.org".to_owned()].as_slice(), None, false)
    );
    assert_eq!(mail.from, format!("healer@{host}"));
    assert_eq!(mail.hello, host);
    assert_eq!(mail.header("from"), format!("healer <healer@{host}>"));
    assert_eq!(mail.header("to"), "ops@example.org");
    assert_eq!(mail.header("subject"), format!("[healer] held on {host}: file:worker was rate limited 20 times"));
    assert_eq!(mail.header("auto-submitted"), "auto-generated");
    assert_eq!(mail.header("content-type"), "text/plain; charset=utf-8");
    assert!(mail.header("date").ends_with("+0000") && mail.header("message-id").ends_with(&format!("@{host}>")));
    for text in [
        "proposed: ",
        "-\tawait asyncio.sleep(0.8)  # seconds",
        "+\tawait asyncio.sleep(1.2)  # seconds",
        "# pause: nicht zu schnell \u{2013} sonst 429",
        "why: confidence 60 is below the threshold of 85",
        "next: healer heal --approve plan_",
    ] {
        assert!(mail.body.contains(text), "{text:?} is not in\n{}", mail.body);
    }
}

#[test]
fn each_way_of_encryption_and_a_login_is_spoken() {
    let check = |manners: Manners, scheme: &str, host: &str| {
        let server = SmtpServer::start(manners);
        let url = format!("{scheme}://{LOGIN}{host}:{}", server.port());
        let scene = mailing(&format!("to = \"ops@example.org\", from = \"h@example.org\", smtp = \"{url}\""));
        heal(&scene).expect_code(10);
        let mail = one(&server);
        assert_eq!((&mail.login, mail.encrypted), (&login(), scheme != "smtp"), "{scheme}");
        assert_eq!(mail.from, "h@example.org");
    };
    check(Manners { login: login(), ..Manners::default() }, "smtp", "127.0.0.1");
    check(Manners { login: login(), tls: true, ..Manners::default() }, "smtps", "localhost");
    check(Manners { login: login(), starttls: true, ..Manners::default() }, "smtp+starttls", "localhost");
}

#[test]
fn nothing_is_told_to_a_server_that_is_not_who_it_should_be_or_does_not_encrypt() {
    let check = |manners: Manners, scheme: &str, trusted: bool, problem: &str| {
        let server = SmtpServer::start(manners);
        let scene =
            mailing(&format!("to = \"ops@example.org\", smtp = \"{scheme}://{LOGIN}localhost:{}\"", server.port()));
        let mut command = scene.root.command(&["notify", "test"]);
        if trusted {
            command.env("SSL_CERT_FILE", SmtpServer::authority());
        }
        let ran = spawn_command(command).wait().expect_code(10);
        assert!(ran.stdout.contains(problem), "{problem:?} is not in {}", ran.stdout);
        assert!(server.mails().is_empty());
    };
    check(Manners { tls: true, ..Manners::default() }, "smtps", false, "invalid peer certificate: UnknownIssuer");
    check(Manners { starttls: true, ..Manners::default() }, "smtp+starttls", false, "invalid peer certificate");
    check(Manners::default(), "smtp+starttls", true, "STARTTLS is not supported");
    let wrong = Some(("somebody".to_owned(), "else".to_owned()));
    check(Manners { login: wrong, ..Manners::default() }, "smtp", true, "535");
}

#[test]
fn one_recipient_that_is_refused_keeps_nothing_from_the_others() {
    let refuses = Some(("gone@example.org".to_owned(), "550 5.1.1 nobody of that name".to_owned()));
    let server = SmtpServer::start(Manners { refuses, busy: 1, ..Manners::default() });
    let to = "to = [\"gone@example.org\", \"ops@example.org\"]";
    let scene = mailing(&format!("{to}, smtp = \"smtp://127.0.0.1:{}\"", server.port()));
    let ran = heal(&scene).expect_code(10);
    let mail = one(&server);
    assert_eq!(mail.to, ["ops@example.org"], "after a try that was put off");
    assert_eq!(mail.header("to"), "gone@example.org, ops@example.org");
    assert!(ran.stderr.contains("email gone@example.org could not be told: permanent error (550)"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("email ops@example.org"), "{}", ran.stderr);
}

#[test]
fn hostile_names_make_no_header_and_no_command() {
    let server = SmtpServer::start(Manners::default());
    let scene = Scene::new(|p| {
        p.checks = "[checks.command.own]\ncommand = [\"/bin/sh\", \"-c\", \"printf 'bad\\\\r\\\\nBcc: thief@example.org\\\\r\\\\n.\\\\r\\\\nMAIL FROM:<x>'; exit 2\"]".into();
        let cause = "own says\\r\\nBcc: thief@example.org\\r\\n\\r\\n.\\r\\n\u{2013} \u{202e}end";
        p.rest = format!(
            "[alerts]\nemail = {{ to = \"ops@example.org\", smtp = \"smtp://127.0.0.1:{}\" }}\n\
             [[rule]]\nname = \"hostile\"\nwhen = {{ check = \"own\", is = \"critical\" }}\nissue_type = \"x\"\n\
             cause = \"{cause}\"\nconfidence = 90\n",
            server.port()
        );
    });
    let ran = healer(&scene.root, &["heal"]);
    if ran.code == Some(78) {
        // Such a cause is refused; the check's own words remain.
        let mut scene = scene;
        scene.configure(|p| p.rest = p.rest.split("[[rule]]").next().unwrap().to_owned());
        healer(&scene.root, &["heal"]).expect_code(10);
    }
    let mail = one(&server);
    assert_eq!(mail.to, ["ops@example.org"]);
    assert!(mail.headers.iter().all(|(name, _)| name != "bcc"), "{:?}", mail.headers);
    assert!(mail.body.contains("Bcc: thief@example.org") || mail.header("subject").contains("Bcc: thief"), "{mail:?}");
    assert!(!mail.header("subject").contains(['\r', '\n', '\u{202e}']));
}
