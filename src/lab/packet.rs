//! A packet socket on one network interface: all frames that come in there, and a way to send frames out.
//!
//! packet(7). Frames are read and written with the kernel's own header before them (`PACKET_VNET_HDR`): it carries
//! what the sender left to the network card, checksums and cutting to size, so that it is done where the frame ends.

use std::{io, net, os::fd::AsRawFd};

use nix::{
    libc,
    sys::socket::{
        AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, bind, setsockopt, socket, sockopt::SetBool,
    },
};
use tokio::net::UdpSocket;

/// Length of `struct virtio_net_hdr`.
const HEADER: usize = 10;
/// More than the longest frame that the kernel hands over uncut.
const LONGEST: usize = 1 << 17;

#[derive(Debug, Clone, Copy)]
struct OffloadHeader;
#[derive(Debug, Clone, Copy)]
struct IgnoreOutgoing;
// Numbers from <linux/if_packet.h>.
const PACKET_VNET_HDR: libc::c_int = 15;
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
nix::setsockopt_impl!(OffloadHeader, libc::SOL_PACKET, PACKET_VNET_HDR, bool, SetBool);
nix::setsockopt_impl!(IgnoreOutgoing, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, bool, SetBool);

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// An Ethernet frame as a packet socket gives it.
#[derive(Debug, Clone)]
pub(crate) struct Frame(bytes::Bytes);

impl Frame {
    pub(crate) fn destination(&self) -> Mac {
        self.mac(HEADER)
    }

    pub(crate) fn source(&self) -> Mac {
        self.mac(HEADER + 6)
    }

    fn mac(&self, at: usize) -> Mac {
        let mut mac = Mac::default();
        // A frame that is too short for addresses comes from nobody and goes to nobody.
        if let Some(bytes) = self.0.get(at..at + 6) {
            mac.copy_from_slice(bytes);
        }
        mac
    }

    /// Length on the wire.
    pub(crate) fn len(&self) -> usize {
        self.0.len().saturating_sub(HEADER)
    }
}

/// One interface.
///
/// There is nothing of UDP in it: that type is the way to recv(2) and send(2) on any socket, asynchronous and safe.
#[derive(Debug)]
pub(crate) struct PacketSocket(UdpSocket);

impl PacketSocket {
    /// Opens the interface. Needs an asynchronous runtime, root, and the interface's own network namespace.
    pub(crate) fn open(interface: &LinkAddr) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        setsockopt(&socket, OffloadHeader, &true)?;
        setsockopt(&socket, IgnoreOutgoing, &true)?;
        bind(socket.as_raw_fd(), interface)?;
        let socket = net::UdpSocket::from(socket);
        // Until it was bound, frames of all interfaces came in.
        while socket.recv(&mut [0]).is_ok() {}
        UdpSocket::from_std(socket).map(Self)
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// When the interface is gone.
    pub(crate) async fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<Frame> {
        buffer.resize(LONGEST, 0);
        let length = self.0.recv(buffer).await?;
        Ok(Frame(bytes::Bytes::copy_from_slice(&buffer[..length])))
    }

    /// Sends a frame out.
    ///
    /// # Errors
    /// When the interface is gone, or takes no more: then the frame is lost, as in any network.
    pub(crate) async fn send(&self, frame: &Frame) -> io::Result<()> {
        self.0.send(&frame.0).await.map(drop)
    }
}
