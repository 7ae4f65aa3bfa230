//! Any bytes as a message of the three sockets: refused, or a message that comes back as it was.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::frame;
use wire::{cli, gate, link};

pub fn frame(body: &[u8]) {
    there_and_back::<gate::Request>(body);
    there_and_back::<gate::Reply>(body);
    there_and_back::<cli::Request>(body);
    there_and_back::<cli::Reply>(body);
    there_and_back::<link::Up>(body);
    there_and_back::<link::Down>(body);
}

fn there_and_back<T: Serialize + DeserializeOwned>(body: &[u8]) {
    let Ok(message) = frame::decode::<T>(body) else {
        return;
    };
    let Ok(sent) = frame::encode(&message, frame::GATE_REQUEST) else {
        return;
    };
    let again =
        frame::decode::<T>(&sent[frame::HEAD..]).map(|m| frame::encode(&m, frame::GATE_REQUEST));
    assert_eq!(again, Ok(Ok(sent)));
}
