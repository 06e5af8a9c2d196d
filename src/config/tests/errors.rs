//! Broken configurations and the exact words about them (`broken.txt`). May not live here: how they are found.

use super::{compiled, told};
use crate::config::compile::{Surroundings, compile, compile_with};
use crate::config::tests::FixedSecrets;

/// Cases in one file: `=== law`, a configuration that breaks it, `--- told`, the words.
const CASES: &str = include_str!("broken.txt");

#[test]
fn every_error_is_told_in_these_words() {
    let mut checked = 0;
    for case in CASES.split("=== ").skip(1) {
        let (law, rest) = case.split_once('\n').unwrap();
        let (text, expected) = rest.split_once("--- told\n").unwrap();
        assert_eq!(told(text, &[]).trim_end(), expected.trim_end(), "{law}");
        checked += 1;
    }
    assert!(checked >= 50, "the table was not read whole: {checked}");
}

#[test]
fn an_error_of_another_file_names_that_file() {
    let extra =
        "[[rule]]\nname = \"a\"\nconfidence = 90\nissue_type = \"x\"\nwhen = { check = \"hots\", is = \"critical\" }\n";
    let errors = compiled(extra.replace("hots", "host").as_str(), &[("rules.d/a.toml", extra)]).unwrap_err();
    let seen: Vec<_> =
        errors.iter().map(|e| (e.file.to_str().unwrap(), e.line, e.column, e.message.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("rules.d/a.toml", Some(2), Some(8), "a second rule is called `a`"),
            ("rules.d/a.toml", Some(5), Some(18), "there is no check `hots`"),
        ]
    );
    assert_eq!(errors[0].help.as_deref(), Some("the first is at healer.toml:2"));
}

#[test]
fn only_rules_and_signatures_belong_into_rules_d() {
    let text = told("", &[("rules.d/a.toml", "mode = \"auto\"\n")]);
    assert!(text.contains("unknown key `mode`") && text.contains("keys known here: signature, rule"), "{text}");
}

#[test]
fn errors_of_shape_and_of_meaning_come_together() {
    let text = told("zzz = 1\nconfidence_threshold = 101\n", &[]);
    assert!(text.contains("unknown key `zzz`") && text.contains("`confidence_threshold` must be"), "{text}");
}

#[test]
fn what_was_refused_is_not_also_missing() {
    for text in [
        "[checks.host]\ncpu_percent = { critical = \"high\" }\n",
        "[checks.http.a]\nurl = 5\n",
        "[checks.command.a]\ncommand = [5]\n",
        "[[rule]]\nname = \"r\"\nissue_type = \"x\"\nconfidence = 1\nwhen = { check = 5, is = \"critical\" }\n",
    ] {
        assert_eq!(compiled(text, &[]).unwrap_err().len(), 1, "{text}");
    }
}

#[test]
fn no_error_text_shows_a_secret() {
    let secret = "hunter2hunter2";
    for text in [
        "[checks.postgres.db]\nurl = \"postgres://u:SECRET@\"\n",
        "[checks.postgres.db]\nurl = [\"postgres://u:SECRET@h/db\"]\n",
        "[checks.http.a]\nurl = \"ftp://x:SECRET@h/\"\nheaders = { Authorization = \"Bearer SECRET\", \"a b\" = \"SECRET\" }\n",
        "[checks.http.a]\nheaders = { X-Api-Key = [\"SECRET\"] }\n",
        "[serve]\ntoken = \"SECRET\n",
        "[serve]\ntoken = \"\"\"\nSECRET\n",
        "[serve]\ntoken = '''\nSECRET\n''' zzz\n",
        "[[alerts.webhook]]\nurl = \"https://h/services/SECRETSECRET\"\nfrmat = \"slack\"\nheaders.Authorization = 5\n",
        "mode = { password = \"SECRET\" }\n",
        "password = SECRET\n",
    ] {
        let told = told(&text.replace("SECRET", secret), &[]);
        assert!(told.contains("error") && !told.contains(secret), "{text}\n{told}");
    }
}

/// The words of selectors are those of the module that reads them: these hold once it is whole.
#[test]
fn a_selector_is_held_to_the_syntax_of_its_files_format() {
    for (path, at, sound) in [
        ("/srv/a.py", "call asyncio.sleep", true),
        ("/srv/a.py", "call asyncio.sleep arg 2 in Worker.run", true),
        ("/srv/a.py", "keyword timeout of requests.get", true),
        ("/srv/a.py", "assign MAX_RETRIES", true),
        ("/srv/a.toml", "worker.batch_size", true),
        ("/srv/a.yaml", "services.web.environment[DELAY=]", true),
        ("/srv/.env", "DELAY", true),
        ("/srv/a.py", "sleep the call", false),
        ("/srv/a.toml", "worker..x", false),
        ("/srv/a.toml", "", false),
        ("/srv/a.exe", "x", false),
    ] {
        let text = format!(
            "[[rule]]\nname = \"r\"\nwhen = {{ check = \"host\", is = \"critical\" }}\nissue_type = \"x\"\nconfidence = 90\n\
             [[rule.fix]]\nfix_type = \"f\"\nsteps = [{{ edit = \"{path}\", at = \"{at}\", set = 1 }}]\n"
        );
        let result = compile(vec![("healer.toml".into(), text)], &FixedSecrets);
        assert_eq!(result.is_ok(), sound, "{path}: {at}");
        if let Err(errors) = result {
            assert!(
                errors.iter().all(|e| e.line == Some(8) && e.message.contains("this place in the file")),
                "{errors:?}"
            );
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(100))]

    #[test]
    fn no_text_makes_it_panic(text in r#"[\[\]{}a-c.=,"'\n\\ 0-9#é:$-]{0,80}"#) {
        let _ = told(&text, &[("b", &text)]);
    }

    /// A sound configuration with a few bytes changed reaches further than noise.
    #[test]
    fn no_slip_of_the_pen_makes_it_panic(at in 0usize..4000, cut in 0usize..12, put in r#"[\[\]{}a-c.="'\n0-9]{0,3}"#) {
        let mut text = super::valid::EXAMPLE.to_owned();
        let start = (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap();
        let end = (start + cut..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
        text.replace_range(start.min(end)..end, &put);
        if let Err(errors) = compile_with(vec![("f".into(), text)], &FixedSecrets, &Surroundings::default(), |_, _| Ok(())) {
            proptest::prop_assert!(!errors.is_empty());
            errors.iter().for_each(|e| drop(e.to_string()));
        }
    }
}

#[test]
fn absurd_nesting_is_an_error_and_no_overflow() {
    let n = 100_000;
    for text in [
        format!("{}a = 1", "a.".repeat(n)),
        format!("[{}a]", "a.".repeat(n)),
        format!("x = {}1{}", "[".repeat(n), "]".repeat(n)),
        format!("x = {}", "{a=".repeat(n)),
        format!("x = {{ {}a = 1 }}", "a.".repeat(n)),
    ] {
        assert!(told(&text, &[]).contains("this is no TOML"));
    }
}
