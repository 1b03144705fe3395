//! Hostile neighbours: each is refused with an error that says what, clients are served meanwhile, and nothing is left.
//!
//! | who | what | where it is tested |
//! |---|---|---|
//! | another user | asks or would take over at our path | `control::another_user_gets_no_answer_and_no_succession`, `control::a_user_who_is_named_is_answered_and_still_nobody_else` |
//! | | lies in wait at our path | `control::a_server_of_another_user_s_is_neither_asked_nor_followed`; whom a directory makes trusted: `control/tests.rs` of the crate |
//! | | comes ten thousand times and says nothing | [`hoard`] |
//! | | sends notices to a foreign successor's socket | `foreign::what_another_user_s_process_says_to_its_socket_does_not_count_and_the_log_says_whose_it_was`, `foreign::what_another_process_says_to_its_socket_does_not_count`; a flood of them: `process/tests/foreign.rs` of the crate |
//! | what lies at a path | a link, dangling or to a file, a FIFO, a file: at the control path, at a Unix listener's | [`place`] |
//! | | a link at the pid file's path, or beside it | [`place`]; a FIFO: `pidfile.rs` of the crate |
//! | | a foreign socket at a Unix listener's path, or one that another has bound meanwhile | `path::the_path_of_a_server_that_lives_is_left_alone`, `path::a_path_that_another_has_bound_meanwhile_is_not_removed` |
//! | | a foreign file in the place of a path's lock, a queue that stays full | `sockets/tests/paths.rs` of the crate |
//! | whoever comes to the path | says nothing, half a word, nonsense | `control::visitors_that_stall_delay_nobody_else`, `control::after_many_silent_visitors_a_status_is_told`, `control::visitors_that_talk_nonsense_are_told_so_and_change_nothing` |
//! | | never stops saying what means nothing | [`flood`] |
//! | | claims 4 GiB | [`size`] |
//! | | passes descriptors that nobody has asked for | `heir::it_passes_descriptors_with_its_wish`; as many as it can, with half a word: [`hoard`], `control/tests.rs` of the crate |
//! | whoever serves at the path | says nothing, or another thing than asked for | `predecessor::keeps_the_path_to_itself`; `control/tests.rs` and `process/tests/take_over.rs` of the crate |
//! | | claims 4 GiB in its answer | [`size`] |
//! | a successor | is silent, refuses, talks nonsense, at each step | `fake`, `heir` |
//! | | never stops saying what means nothing, or what would mean something once | [`flood`] |
//! | | claims 4 GiB | [`size`] |
//! | | passes more descriptors than it says, or fewer, or with no message | `heir::it_passes_descriptors_with_a_message_that_has_none`, `heir::it_passes_fewer_descriptors_than_it_says`, `heir::it_passes_descriptors_that_belong_to_no_message`; as many as it can, with half a word: [`hoard`] |
//! | a predecessor | talks nonsense, dies, takes it back, at each step | `predecessor` |
//! | | never stops saying what would mean something once | [`flood`] |
//! | | claims 4 GiB | [`size`] |
//! | | passes a UDP socket as a TCP listener, a listener of another address, a message without its descriptor | `predecessor::passes_a_udp_socket_as_a_tcp_listener`, `predecessor::passes_a_listener_of_another_address`, `predecessor::passes_a_message_without_its_descriptor` |
//! | | passes a connection, a file, a pipe, an epoll as a TCP listener | [`passed`] |
//! | | offers what is no connection: a listener, a datagram socket, a Unix socket, a device | `handover::predecessor::offers_what_is_no_connection` |
//! | | offers a socket that is not connected, or whose client has reset it | `handover::predecessor::offers_what_has_no_client` |
//! | a child | inherits the variable, the channel, or both | `stranger`, `hygiene` |

mod flood;
mod hoard;
mod passed;
mod place;
mod size;
