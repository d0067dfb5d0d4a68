//! What a case says, as the role that says it.

use std::fs;

use serde_json::{Value, json};

use super::case::Says;

/// Whether the files of the kernel's settings can belong to root here.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The role of these sayings, as its file.
pub fn role<'a>(all: impl Iterator<Item = &'a Says>) -> String {
    let mut tasks = Vec::new();
    let mut defaults = serde_json::Map::new();
    for (index, says) in all.enumerate() {
        let path = format!("{{{{ vars.root }}}}/{index}");
        let mut push = |kind: &str, mut body: Value| {
            if matches!(kind, "file" | "copy" | "directory" | "template") {
                (body["owner"], body["group"]) = ("{{ vars.user }}".into(), "{{ vars.group }}".into());
            }
            tasks.push(json!({"name": format!("{index} {kind}"), kind: body}));
        };
        let octal = |mode: &u32| format!("{mode:04o}");
        match says {
            Says::File { content, mode } => {
                push(
                    "file",
                    json!({"path": path, "content": content, "mode": octal(mode), "validate": "[ -f \"$1\" ]"}),
                );
            }
            Says::Template { lines, mode } => {
                defaults.insert(format!("lines{index}"), json!(lines));
                push(
                    "template",
                    json!({"source": format!("{index}.txt"), "path": path, "mode": octal(mode)}),
                );
            }
            Says::Copy { mode, .. } => {
                push("copy", json!({"source": index.to_string(), "path": path, "mode": octal(mode)}));
            }
            Says::Directory { mode } => push("directory", json!({"path": path, "mode": octal(mode)})),
            Says::Absent => push("absent", json!({"path": path})),
            Says::Lines(values) => {
                for (key, value) in values {
                    push("line", line(&path, key, *value));
                }
            }
            Says::Block { content } => push("block", json!({"path": path, "name": "x", "content": content})),
            Says::Command => push("command", json!({"run": format!("echo ran >> {path}"), "creates": path})),
            Says::Inside(files) => {
                push("directory", json!({"path": path}));
                let files: Vec<Value> =
                    files.iter().map(|(name, content)| json!({"name": name, "content": content})).collect();
                defaults.insert(format!("files{index}"), json!(files));
                let inner = format!("{path}/{{{{ item.name }}}}");
                let (user, group) = ("{{ vars.user }}", "{{ vars.group }}");
                let file =
                    json!({"path": inner, "content": "{{ item.content }}", "owner": user, "group": group});
                for (kind, body, is) in
                    [("file", file, "is not none"), ("absent", json!({"path": inner}), "is none")]
                {
                    tasks.push(json!({
                        "name": format!("{index} {kind} {{{{ item.name }}}}"),
                        "loop": format!("vars.files{index}"),
                        "when": format!("item.content {is}"),
                        kind: body,
                    }));
                }
            }
            Says::Sections { blocks, value } => {
                let block = |name: &str, comment: &str, content: Option<&str>| {
                    let mut body =
                        json!({"path": path, "name": name, "comment": comment, "absent": content.is_none()});
                    body["content"] = content.unwrap_or_default().into();
                    body
                };
                push("block", block("x", "#", blocks[0]));
                push("line", line(&path, "key1", *value));
                push("block", block("y", ";", blocks[1]));
            }
            Says::Derived { content } => {
                let (from, to) = (format!("{path}/from"), format!("{path}/to"));
                push("file", json!({"path": from, "content": content}));
                let make = |run: String, after: &str, stamp: &str| json!({"run": run, "after": [after], "stamp": format!("{path}/{stamp}")});
                push("command", make(format!("tr a b < {from} > {to}"), &from, "stamp1"));
                push("command", make(format!("cp {to} {path}/last && echo x >> {path}/last"), &to, "stamp2"));
                push("wait", json!({"until": "it is there", "check": format!("[ -e {path}/last ]")}));
            }
            Says::Mended { word } => {
                defaults.insert(format!("word{index}"), json!(word));
                let mends = format!("IFS= read -r word && printf '\\n%s\\n' \"$word\" >> {path}");
                let check = format!("grep -qxF \"$(cat {path}.word)\" {path} 2>/dev/null");
                push("file", json!({"path": format!("{path}.word"), "content": word}));
                push(
                    "command",
                    json!({"run": format!("{{ cat {path}.word; echo; }} | {{ {mends}; }}"), "unless": check}),
                );
            }
            Says::Keys(keys) => {
                for (key, comment) in keys {
                    let line = format!("ssh-ed25519 {key} {}", comment.unwrap_or_default());
                    let line = line.trim_end();
                    push(
                        "authorized_key",
                        json!({"user": format!("u{index}"), "key": line, "absent": comment.is_none()}),
                    );
                }
            }
            Says::Kernel { .. } if !is_root() => {}
            Says::Kernel { modules: true, which } => {
                let name = if *which { "one" } else { "other" };
                push("kernel_modules", json!({"file": path, "modules": {name: "/proc", "third": "/proc"}}));
            }
            Says::Kernel { modules: false, which } => {
                let mut values = json!({"kernel.ostype": "Linux"});
                if *which {
                    values["kernel.osrelease"] =
                        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim().into();
                }
                push("sysctl", json!({"file": path, "values": values}));
            }
        }
    }
    let role = json!({"description": "a test", "defaults": defaults, "tasks": tasks});
    serde_json::to_string_pretty(&role).unwrap()
}

/// The statement of a line `KEY=VALUE`.
fn line(path: &str, key: &str, value: Option<u32>) -> Value {
    let pattern = format!("#?{key}=.*");
    match value {
        Some(value) => json!({"path": path, "line": format!("{key}={value}"), "match": pattern}),
        None => json!({"path": path, "match": pattern, "absent": true}),
    }
}
