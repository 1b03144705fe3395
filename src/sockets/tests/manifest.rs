//! Any list of sockets survives its way.

use super::*;

/// xorshift: the same lists in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.below(256) as u8).collect()
    }

    fn name(&mut self, number: usize) -> Name {
        let letters = (0..self.below(240)).map(|_| (b'!' + self.below(25) as u8) as char);
        Name::passed(&letters.chain(format!(" {number}").chars()).collect::<String>()).unwrap()
    }

    fn socket(&mut self, number: usize) -> wire::Socket {
        use std::os::unix::ffi::OsStrExt;
        const KINDS: [SocketKind; 10] = [
            SocketKind::TcpListener,
            SocketKind::UnixListener,
            SocketKind::UdpSocket,
            SocketKind::UnixDatagram,
            SocketKind::SeqpacketListener,
            SocketKind::PipeReader,
            SocketKind::PipeWriter,
            SocketKind::Descriptor,
            SocketKind::Control,
            SocketKind::Other(200),
        ];
        const ORIGINS: [Origin; 4] = [Origin::Bound, Origin::Offered, Origin::Activated, Origin::Other(9)];
        wire::Socket {
            name: self.name(number),
            kind: KINDS[self.below(KINDS.len())],
            origin: ORIGINS[self.below(ORIGINS.len())],
            requested: OsStr::from_bytes(&self.bytes(300)).to_owned(),
            actual: OsStr::from_bytes(&self.bytes(300)).to_owned(),
            path: (self.below(usize::MAX) as u64, self.below(usize::MAX) as u64),
        }
    }
}

/// Names, kinds, origins, addresses of any bytes; descriptors of any kind, in any number.
#[tokio::test]
async fn any_list_of_sockets_survives_encode_pass_and_decode() {
    let place = tempfile::tempdir().unwrap();
    let (read, write) = pipe();
    let descriptors: Vec<Arc<OwnedFd>> =
        [tcp(), udp(), unix_listener(&place), seqpacket(&place), read, write, file()].map(Arc::new).to_vec();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for most in [0, 1, 2, 252, 253, 254, 300, 600, 20, 20, 20] {
        let list: Vec<_> = (0..most)
            .map(|number| (random.socket(number), Arc::clone(&descriptors[random.below(descriptors.len())])))
            .collect();
        let (ours, theirs) = sys::socket_pair().unwrap();
        let (mut ours, mut theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
        let pass = async {
            for batch in list.chunks(sys::MAX_DESCRIPTORS) {
                let (sockets, descriptors): (Vec<_>, Vec<_>) = batch.iter().cloned().unzip();
                ours.say(&Message::Sockets(sockets), descriptors);
                ours.flush().await;
            }
            drop(ours);
        };
        let receive = async {
            let mut received = Vec::new();
            while let Some((message, descriptors)) = theirs.next().await.unwrap() {
                let Message::Sockets(sockets) = message else { panic!("{message:?}") };
                received.extend(sockets.into_iter().zip(descriptors));
            }
            received
        };
        let ((), received) = tokio::join!(pass, receive);
        let seen =
            |(socket, descriptor): &(wire::Socket, OwnedFd)| (socket.clone(), sys::identity(descriptor).unwrap());
        let said = |(socket, descriptor): &(wire::Socket, Arc<OwnedFd>)| {
            (socket.clone(), sys::identity(&**descriptor).unwrap())
        };
        let received: Vec<(wire::Socket, Identity)> = received.iter().map(seen).collect();
        assert!(received == list.iter().map(said).collect::<Vec<_>>(), "{most} sockets");
    }
}
