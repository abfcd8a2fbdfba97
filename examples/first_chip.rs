//! From files to accuracy: `cargo run --release --example first_chip -- CHECKPOINT`, such as one that `crosspike
//! quickstart` writes.

use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};

fn main() -> crosspike::Result<()> {
    let checkpoint = std::env::args().nth(1).unwrap_or("runs/quickstart/vat.safetensors".into());
    let profile = Profile::named("rram_4bit", &["rram.variation.scale=2".into()])?;
    let model = Model::named("digits", &[])?;
    let network = Network::read(&model, checkpoint.as_ref())?;
    let data = Dataset::open("digits", "".as_ref(), Split::Test)?;
    let session = Session::open(&profile, model, network, &data, Options::default())?;
    session.notices().iter().for_each(|notice| eprintln!("{notice}"));
    session.evaluate(&data, 0..20, |chip, result| {
        println!("chip {chip}: {:.1} % of {} images", result.accuracy, data.len());
        Ok(())
    })?;
    for layer in session.survey(7)? {
        let square: f32 = layer.residual.iter().map(|missing| missing * missing).sum();
        let (rows, columns) = layer.tiles();
        println!(
            "chip 7, {}: {rows} x {columns} tiles, cells miss {:.3} (rms)",
            layer.name,
            (square / layer.residual.len().max(1) as f32).sqrt()
        );
    }
    Ok(())
}
