//! Compiles what libtorch has and its Rust binding lacks, and lets programs find libtorch by
//! themselves. Nothing to do without the feature `libtorch`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "libtorch")]
    libtorch();
}

#[cfg(feature = "libtorch")]
fn libtorch() {
    const SHIM: &str = "src/nn/libtorch/shim.cpp";
    println!("cargo:rerun-if-changed={SHIM}");
    // torch-sys says where it found the libraries; the headers lie beside them.
    let libraries = match std::env::var("DEP_TCH_LIBTORCH_LIB") {
        Ok(folder) => std::path::PathBuf::from(folder),
        Err(_) => panic!("torch-sys does not say where libtorch is"),
    };
    let headers = match std::env::var("LIBTORCH_INCLUDE") {
        Ok(folder) => std::path::PathBuf::from(folder),
        Err(_) => libraries.join(".."),
    };
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        .std("c++17")
        .include(headers.join("include"))
        .include(headers.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .file(SHIM)
        .compile("amlp_libtorch");
    for (file, mark) in [("build-version", ""), ("version.py", "__version__ = ")] {
        let text = std::fs::read_to_string(libraries.join("..").join(file)).unwrap_or_default();
        if let Some(version) = text.lines().find_map(|line| line.strip_prefix(mark)) {
            let version = version.trim_matches(['\'', '"', ' ']);
            println!("cargo:rustc-env=AMLP_LIBTORCH_VERSION={version}");
            break;
        }
    }
    let cuda = u8::from(libraries.join("libtorch_cuda.so").exists());
    println!("cargo:rustc-env=AMLP_LIBTORCH_CUDA={cuda}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libraries.display());
}
