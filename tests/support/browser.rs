//! A real browser beside a test: headless Chromium, driven over WebDriver, in a process group and with a profile of its
//! own. What is waited for is a condition of the page, seen when the page changes; may not live here: the dashboard.

use super::{DEADLINE, skip};
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use tokio::runtime::Runtime;
use url::{ParseError, Url};

const FLAGS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    // As on a phone: they lie over the page.
    "--hide-scrollbars",
    "--window-size=1280,1000",
];

/// Of setpriv: what it starts ends with who has started it, even where that one is killed.
const DIES_WITH_PARENT: [&str; 2] = ["--pdeathsig", "KILL"];

/// One browser with one page; it ends with the test, also with one that fails.
pub struct Browser {
    runtime: Runtime,
    client: Client,
    /// Ends before the profile is removed.
    _driver: Driver,
    _profile: tempfile::TempDir,
}

/// chromedriver and everything that it has started.
struct Driver {
    process: Child,
    /// Held open: it says more than its first lines.
    stdout: BufReader<ChildStdout>,
}

impl Browser {
    /// `None`, recorded as a skip, where there is none: `let Some(browser) = Browser::start() else { return };`
    pub fn start() -> Option<Browser> {
        if !["chromium", "chromedriver", "setpriv"].iter().all(|program| is_installed(program)) {
            skip("no chromium with chromedriver (tests/run installs them as root on Debian)");
            return None;
        }
        let profile = tempfile::Builder::new().prefix("healer-browser.").tempdir().unwrap();
        // It takes a free port of one family of addresses and ends when that is taken in the other.
        let listening = || Some(Driver::start(&profile)).and_then(|mut driver| Some((driver.port()?, driver)));
        let (port, driver) = (0..5).find_map(|_| listening()).expect("chromedriver ends before it listens");
        let address = format!("http://127.0.0.1:{port}");
        let data = format!("--user-data-dir={}", profile.path().join("profile").display());
        let flags: Vec<&str> = FLAGS.iter().copied().chain([data.as_str()]).collect();
        let Value::Object(capabilities) = json!({
            "goog:chromeOptions": { "args": flags, "binary": browser_in(profile.path()) },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "script": 2 * DEADLINE.as_millis() },
        }) else {
            unreachable!("a literal object")
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = runtime.block_on(builder.capabilities(capabilities).connect(&address)).unwrap();
        Some(Browser { runtime, client, _driver: driver, _profile: profile })
    }

    #[track_caller]
    pub fn go(&self, address: &str) {
        self.runtime.block_on(self.client.goto(address)).unwrap();
    }

    #[track_caller]
    pub fn reload(&self) {
        self.runtime.block_on(self.client.refresh()).unwrap();
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn js(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression})"))
    }

    /// As text; nothing where it is none.
    #[track_caller]
    pub fn text(&self, expression: &str) -> String {
        self.js(expression).as_str().unwrap_or_default().to_owned()
    }

    /// Runs statements in the page.
    #[track_caller]
    pub fn run(&self, statements: &str) -> Value {
        self.runtime
            .block_on(self.client.execute(statements, Vec::new()))
            .unwrap_or_else(|e| panic!("{e}\nof {statements}"))
    }

    /// Waits until an expression is true in the page: looked at whenever something in it changes, and, for what is no part
    /// of the document, between the frames that it draws. Fails with what is shown.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[arguments.length - 1], end = Date.now() + {};
             const holds = () => {{ try {{ return !!({expression}); }} catch {{ return false; }} }};
             const finish = (what) => {{ changes.disconnect(); clearInterval(clock); done(what); }};
             const look = () => {{ if (holds()) finish(true); else if (Date.now() > end) finish(document.body.innerText); }};
             const changes = new MutationObserver(look), clock = setInterval(look, 50);
             changes.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
             look();",
            DEADLINE.as_millis()
        );
        let seen = self.runtime.block_on(self.client.execute_async(&script, Vec::new()));
        let seen = seen.unwrap_or_else(|e| panic!("{e}\nwhile waiting for {expression}"));
        assert!(seen == true, "never was: {expression}\n--- shown\n{}", seen.as_str().unwrap_or_default());
    }

    /// Clicks on what a selector finds, once it is there; one that the page draws anew meanwhile is looked for again.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.until(&format!("document.querySelector({})", json!(selector)));
        let clicked = || async { self.client.find(Locator::Css(selector)).await?.click().await };
        let clicked = self.runtime.block_on(async {
            match clicked().await {
                Err(e) if e.is_stale_element_reference() || e.is_no_such_element() => clicked().await,
                other => other,
            }
        });
        clicked.unwrap_or_else(|e| panic!("cannot click on {selector}: {e}"));
    }

    /// Presses keys, one after the other, wherever the focus is.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let presses = keys.chars().flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        let keys = presses.fold(KeyActions::new("keyboard".into()), |keys, action| keys.then(action));
        self.runtime.block_on(self.client.perform_actions(keys)).unwrap();
    }

    /// A command of Chromium's own protocol.
    #[track_caller]
    pub fn cdp(&self, command: &str, params: Value) -> Value {
        self.chromium("goog/cdp/execute", json!({ "cmd": command, "params": params }))
    }

    /// What the page has said on its console since it was last asked; violations of its policy among it.
    #[track_caller]
    pub fn console(&self) -> Vec<String> {
        let log = self.chromium("se/log", json!({ "type": "browser" }));
        log.as_array().unwrap().iter().map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect()
    }

    /// The address of every request of the pages since it was last asked.
    #[track_caller]
    pub fn requests(&self) -> Vec<String> {
        let log = self.chromium("se/log", json!({ "type": "performance" }));
        let messages = log.as_array().unwrap().iter().map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            message["message"].clone()
        });
        let sent = messages.filter(|message| message["method"] == "Network.requestWillBeSent");
        // The browser's own first page is none of ours.
        let ours = sent.map(|m| m["params"].clone()).filter(|m| m["documentURL"].as_str().unwrap().starts_with("http"));
        ours.map(|m| m["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether a page wants an answer before it goes on (`alert`, `confirm`).
    pub fn is_asked(&self) -> bool {
        self.runtime.block_on(self.client.get_alert_text()).is_ok()
    }

    /// Another tab, in front from now on.
    #[track_caller]
    pub fn new_tab(&self) {
        self.runtime.block_on(async {
            let tab = self.client.new_window(true).await.unwrap();
            self.client.switch_to_window(tab.handle).await.unwrap();
        });
    }

    /// A picture of what is seen, as PNG.
    #[track_caller]
    pub fn picture(&self) -> Vec<u8> {
        self.runtime.block_on(self.client.screenshot()).unwrap()
    }

    #[track_caller]
    fn chromium(&self, path: &'static str, body: Value) -> Value {
        let asked: Result<Value, CmdError> = self.runtime.block_on(self.client.issue_cmd(Chromium { path, body }));
        asked.unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Closes the pages in order; what does not come to an end so, the driver's end takes along.
        let close = self.client.clone().close();
        let _ = self.runtime.block_on(async { tokio::time::timeout(DEADLINE / 6, close).await });
    }
}

/// A command beside those of the standard.
#[derive(Debug)]
struct Chromium {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Chromium {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (hyper::Method, Option<String>) {
        (hyper::Method::POST, Some(self.body.to_string()))
    }
}

impl Driver {
    fn start(profile: &tempfile::TempDir) -> Driver {
        let mut process = Command::new("setpriv")
            .args(DIES_WITH_PARENT)
            .args(["chromedriver", "--port=0"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .env("LANG", "C.UTF-8")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Driver { process, stdout }
    }

    /// The free port that it has found, once it listens; `None` where it ended before.
    fn port(&mut self) -> Option<u16> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.stdout.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some((_, port)) = line.trim().trim_end_matches('.').rsplit_once("successfully on port ") {
                return Some(port.parse().unwrap());
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}

/// What chromedriver starts in place of the browser.
fn browser_in(dir: &Path) -> PathBuf {
    let path = dir.join("browser");
    let script = format!("#!/bin/sh\nexec setpriv {} chromium \"$@\"\n", DIES_WITH_PARENT.join(" "));
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
