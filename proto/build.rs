//! Compiles the `.proto` files in Rust, so that no `protoc` is needed.

use prost::Message as _;
use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 8] = [
    "serinus/v1/plan.proto",
    "serinus/v1/evidence.proto",
    "serinus/v1/rollout.proto",
    "serinus/v1/model.proto",
    "serinus/v1/event.proto",
    "serinus/v1/sidecar.proto",
    "serinus/v1/outcome.proto",
    "serinus/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let grpc = env::var_os("CARGO_FEATURE_GRPC").is_some();
    println!("cargo:rerun-if-changed=serinus");
    let mut files: Vec<&str> = FILES.to_vec();
    files.push("serinus/stored/v1/stored.proto");
    let descriptors = protox::compile(&files, ["."])?;
    let served = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), served.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
