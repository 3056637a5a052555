//! `serinus certs`: certificates for a start.

mod authority;

use crate::args::Format;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::emit;
use authority::{Authority, Made};
use clap::Subcommand;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const EXAMPLE: &str = "\
Example:
  serinus certs dev --out certs --model digits --name cp.example.org
  serinus-control-plane --data-dir data --token-file certs/tokens \\
    --tls-cert certs/server.pem --tls-key certs/server.key --tls-client-ca certs/ca.pem
  serinus --server https://localhost:7400 --ca certs/ca.pem \\
    --tls-cert certs/admin.pem --tls-key certs/admin.key rollout list";

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a CA, certificates for a control plane, an admin and sidecars, and the token file that fits them
    #[command(after_help = EXAMPLE)]
    Dev(Dev),
}

/// Flags of `certs dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Dev {
    /// Directory for the files; it may not hold any of them
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A model whose sidecars get a certificate; may be repeated
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Another name or address of the control plane; may be repeated [always: localhost, 127.0.0.1, ::1]
    #[arg(long = "name", value_name = "NAME")]
    server_names: Vec<String>,
    /// Trust domain of the SPIFFE IDs
    #[arg(long, value_name = "DOMAIN", default_value = "serinus.dev")]
    trust_domain: String,
    /// How long the certificates are valid, days
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

/// Does it.
pub(crate) fn run(
    command: &Command,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let Command::Dev(dev) = command;
    let files = dev.files()?;
    write(&dev.out, &files)?;
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let directory = dev.out.display().to_string();
    emit(
        console,
        format,
        || json!({ "directory": directory, "files": names, "valid_days": dev.days }),
        || dev.told(&names),
    )?;
    Ok(Exit::Ok)
}

/// A file to write.
struct File {
    name: String,
    text: String,
    secret: bool,
}

impl Dev {
    fn files(&self) -> Result<Vec<File>, Failure> {
        for model in &self.models {
            let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if model.is_empty() || model.len() > 50 || !model.chars().all(legal) {
                return Err(Failure::bad_input(format!(
                    "--model: \"{model}\" cannot be part of a SPIFFE ID: use letters, digits, '.', '_' and '-', at most 50"
                )));
            }
        }
        let domain = &self.trust_domain;
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if domain.is_empty() || domain.len() > 255 || !domain.chars().all(legal) {
            return Err(Failure::bad_input(format!(
                "--trust-domain: \"{domain}\" is none: use lower-case letters, digits, '.', '_' and '-'"
            )));
        }
        let failed = |error: rcgen::Error| Failure::error(format!("make certificates: {error}"));
        let ca = Authority::new(domain, self.days).map_err(failed)?;
        let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let names = own.into_iter().chain(self.server_names.iter().cloned());
        let server = ca
            .server(names.collect())
            .map_err(|error| Failure::bad_input(format!("--name: no name or address: {error}")))?;
        let mut files = vec![File {
            name: "ca.pem".into(),
            text: ca.pem().to_owned(),
            secret: false,
        }];
        files.extend(pair("server", server));
        let mut lines = String::from(
            "# Who may call: NAME ROLE PROOF [models=...] [sidecars=...]; see docs/security.md.\n",
        );
        let id = format!("spiffe://{domain}/admin");
        files.extend(pair("admin", ca.client(&id).map_err(failed)?));
        lines += &format!("admin admin {id}\n");
        for model in &self.models {
            let id = format!("spiffe://{domain}/sidecar/{model}");
            let name = format!("sidecar-{model}");
            files.extend(pair(&name, ca.client(&id).map_err(failed)?));
            lines += &format!("{name} sidecar {id} models={model} sidecars=*\n");
        }
        files.push(File {
            name: "tokens".into(),
            text: lines,
            secret: false,
        });
        Ok(files)
    }

    fn told(&self, names: &[&str]) -> String {
        let at = self.out.display();
        let mut text = format!(
            "made {} files in {at}, valid for {} days\n",
            names.len(),
            self.days
        );
        text += &format!(
            "control plane:  --token-file {at}/tokens --tls-cert {at}/server.pem --tls-key {at}/server.key --tls-client-ca \
             {at}/ca.pem\npeople:         serinus --server https://localhost:7400 --tls-ca {at}/ca.pem --tls-cert {at}/admin.pem \
             --tls-key {at}/admin.key\n"
        );
        for model in &self.models {
            text += &format!(
                "sidecar:        [tls.control_plane] ca = \"{at}/ca.pem\", cert = \"{at}/sidecar-{model}.pem\", key = \
                 \"{at}/sidecar-{model}.key\"\n"
            );
        }
        text += "The key of the CA was not kept: to add a certificate, make all of them anew.\n";
        text
    }
}

fn pair(name: &str, made: Made) -> [File; 2] {
    [
        File {
            name: format!("{name}.pem"),
            text: made.cert,
            secret: false,
        },
        File {
            name: format!("{name}.key"),
            text: made.key,
            secret: true,
        },
    ]
}

/// Nothing is overwritten: a key that is in use would be lost.
fn write(directory: &Path, files: &[File]) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::bad_input(format!("--out: write {}: {error}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let there = files
        .iter()
        .map(|file| directory.join(&file.name))
        .find(|path| path.exists());
    if let Some(path) = there {
        let shown = path.display();
        return Err(
            Failure::bad_input(format!("--out: {shown} is there already"))
                .hint("name another directory, or remove the old files first"),
        );
    }
    for file in files {
        let path = directory.join(&file.name);
        let mode = if file.secret { 0o600 } else { 0o644 };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let written = options
            .open(&path)
            .and_then(|mut out| out.write_all(file.text.as_bytes()));
        written.map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn dev(out: PathBuf) -> Dev {
        Dev {
            out,
            models: vec!["digits".into()],
            server_names: vec!["cp.example.org".into(), "10.0.0.7".into()],
            trust_domain: "serinus.dev".into(),
            days: 90,
        }
    }

    #[test]
    fn keys_are_secret_and_nothing_is_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("certs");
        let dev = dev(out.clone());
        write(&out, &dev.files().unwrap()).unwrap();
        let mode = |name: &str| {
            let about = fs::metadata(out.join(name)).unwrap();
            about.permissions().mode() & 0o777
        };
        assert_eq!(mode("server.key"), 0o600);
        assert_eq!(mode("sidecar-digits.key"), 0o600);
        let tokens = fs::read_to_string(out.join("tokens")).unwrap();
        assert!(
            tokens.contains(
                "sidecar-digits sidecar spiffe://serinus.dev/sidecar/digits models=digits"
            ),
            "{tokens}"
        );
        let key = fs::read(out.join("admin.key")).unwrap();
        let again = write(&out, &dev.files().unwrap()).unwrap_err();
        assert!(again.to_string().contains("is there already"), "{again}");
        assert_eq!(fs::read(out.join("admin.key")).unwrap(), key);
    }

    #[test]
    fn names_that_no_certificate_may_have_are_named() {
        let home = tempfile::tempdir().unwrap();
        let good = || dev(home.path().to_owned());
        for (dev, part) in [
            (
                Dev {
                    models: vec!["a/b".into()],
                    ..good()
                },
                "--model",
            ),
            (
                Dev {
                    trust_domain: "Example.org".into(),
                    ..good()
                },
                "--trust-domain",
            ),
        ] {
            let error = dev.files().err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
