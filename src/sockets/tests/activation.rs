//! By what activated sockets are found.

use super::*;

#[tokio::test]
async fn an_activated_socket_is_found_by_its_name_wherever_it_is_bound() {
    let socket = tcp();
    let mut registry = activated([("http", socket.try_clone().unwrap())]);
    let listener = tcp_listen(&mut registry, "http", ([127, 0, 0, 9], 80).into()).unwrap();
    assert!(same(&listener, &socket));
    // What was asked for finds it in the next generation, and so does where it is.
    let mut next = successor(&registry);
    assert!(same(tcp_listen(&mut next, "http", ([127, 0, 0, 9], 80).into()).unwrap(), &socket));
    let mut next = successor(&registry);
    assert!(same(tcp_listen(&mut next, "http", inet(&socket)).unwrap(), &socket));
    assert_eq!(next.status().0[0].origin, "activated");
}

#[tokio::test]
async fn of_several_that_were_activated_under_a_name_the_one_at_the_address_is_first() {
    let (first, second, third) = (tcp(), tcp(), tcp());
    let all = [&first, &second, &third].map(|it| ("http", it.try_clone().unwrap()));
    let mut registry = activated(all);
    assert!(same(tcp_listen(&mut registry, "http", inet(&second)).unwrap(), &second));
    // A name of ours is used once, so the others are found by their addresses.
    assert!(same(tcp_listen(&mut registry, "other", inet(&third)).unwrap(), &third));
    let all = [&first, &second].map(|it| ("http", it.try_clone().unwrap()));
    let mut registry = activated(all);
    assert!(same(tcp_listen(&mut registry, "http", ([127, 0, 0, 9], 80).into()).unwrap(), &first));
}

#[tokio::test]
async fn an_activated_socket_under_any_name_is_found_by_its_address_and_kind() {
    for under in ["unknown", "stored", "", "a:b", "server.socket"] {
        let (udp, tcp) = (udp(), tcp());
        let mut registry =
            activated([(under, udp.try_clone().unwrap()), (under, tcp.try_clone().unwrap()), (under, file())]);
        assert!(same(tcp_listen(&mut registry, "http", inet(&tcp)).unwrap(), &tcp), "{under}");
        let asked = [Bound::Inet(inet(&udp))];
        let found = registry.listen::<UdpSocket, SocketAddr>(&name("dns"), &asked, &mut Options::default()).unwrap();
        assert!(same(found, &udp));
        registry.close_leftovers();
        assert_eq!(registry.status().1.len(), 1, "the file");
    }
}

#[tokio::test]
async fn the_words_for_no_name_are_no_names() {
    let mut registry = activated([("unknown", tcp()), ("stored", tcp())]);
    assert!(registry.claim::<TcpListener>(&name("unknown")).unwrap().is_none());
    assert!(registry.claim::<TcpListener>(&name("stored")).unwrap().is_none());
}

#[tokio::test]
async fn an_activated_socket_is_claimed_by_name_and_kind() {
    let (udp, tcp) = (udp(), tcp());
    let mut registry = activated([("dns", tcp.try_clone().unwrap()), ("dns", udp.try_clone().unwrap())]);
    assert!(same(registry.claim::<UdpSocket>(&name("dns")).unwrap().unwrap(), &udp));
    let mut registry = activated([("dns", tcp)]);
    assert_eq!(registry.claim::<UdpSocket>(&name("dns")).unwrap_err().kind(), ErrorKind::Socket);
    assert!(registry.claim::<TcpListener>(&name("dns")).unwrap().is_some(), "it has stayed");
}

#[tokio::test]
async fn what_was_inherited_comes_before_what_was_activated() {
    let mut registry = Registry::default();
    let inherited = tcp_listen(&mut registry, "http", ([127, 0, 0, 1], 0).into()).unwrap();
    let passed: Vec<_> = registry.to_pass().into_iter().map(|(socket, fd)| (socket, fd.try_clone().unwrap())).collect();
    let mut next = Registry::inherit(verify(passed).unwrap());
    next.activate(vec![("http".to_owned(), tcp())]);
    assert!(same(tcp_listen(&mut next, "http", inet(&inherited)).unwrap(), &inherited));
    // At another address it is neither: but the operator has given one under this name.
    let passed: Vec<_> = registry.to_pass().into_iter().map(|(socket, fd)| (socket, fd.try_clone().unwrap())).collect();
    let activated = tcp();
    let mut next = Registry::inherit(verify(passed).unwrap());
    next.activate(vec![("http".to_owned(), activated.try_clone().unwrap())]);
    assert!(same(tcp_listen(&mut next, "http", ([127, 0, 0, 9], 80).into()).unwrap(), &activated));
}

#[tokio::test]
async fn an_activated_socket_closes_on_exec_and_never_blocks_once_claimed() {
    let mut registry = activated([("http", as_passed(tcp()))]);
    let listener = registry.claim::<TcpListener>(&name("http")).unwrap().unwrap();
    assert!(closes_on_exec(&listener) && !is_blocking(&listener));
    let (_, duplicate) = registry.to_pass().remove(0);
    assert!(closes_on_exec(&duplicate));
}
