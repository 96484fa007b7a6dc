include: [spice.office]
spice:
  vms:
    web: {server: kvm, tls_port: 20004}
