//! A service on a machine: shop.service logs that it is rate limited until a literal of its settings is raised.

/// Is rate limited while its pause is shorter than a quarter of a second, and reads the pause only when it starts.
pub const UNIT: &str = "[Service]\nEnvironmentFile=/srv/shop/shop.env\nExecStart=/bin/sh /srv/shop/worker.sh\n";
pub const WORKER: &str = r#"
while :; do
    if [ "$PAUSE_MS" -lt 250 ]; then
        echo "ERROR worker request failed: 429 Client Error: Too Many Requests for url: http://x/"
    else
        echo "INFO worker request done"
    fi
    sleep 0.05
done
"#;
pub const SETTINGS: &str = "# pause between two requests\r\nPAUSE_MS=200\r\n";

/// Only the journal of `unit` is looked at; `rule` is the rest of the configuration.
pub fn configuration(unit: &str, rule: &str) -> String {
    format!(
        "[allow]\nfiles = [\"/srv/shop/shop.env\"]\nunits = [\"shop.service\"]\n\
         [checks.docker]\nenabled = false\n[checks.host]\nenabled = false\n[logs.journal.shop]\nunit = \"{unit}\"\n\
         [limits]\nhuman_grace = \"0s\"\nstart_grace = \"1ms\"\nmin_duration = \"0s\"\n[alerts]\non = [\"held\", \"healed\", \"rolled_back\"]\n{rule}"
    )
}

/// Slows the worker down and restarts its unit.
pub fn slow_down(window: &str) -> String {
    format!(
        "[[rule]]\nname = \"slow-down\"\n\
         when = {{ log = \"journal:shop\", signature = \"rate_limit\", count = 5, within = \"10m\" }}\n\
         issue_type = \"rate_limiting\"\nconfidence = 90\n[[rule.fix]]\nfix_type = \"increase_delay\"\n\
         steps = [{{ edit = \"/srv/shop/shop.env\", at = \"PAUSE_MS\", multiply = 1.5, max = 1000 }},\n\
         {{ restart = \"unit:shop.service\" }}]\n[rule.validate]\nsettle = \"500ms\"\nwindow = \"{window}\"\n"
    )
}
