include: [spice.office]
spice:
  vms:
    books: {server: kvm, tls_port: 20002}
