include: [spice.office]
spice:
  vms:
    analysis: {server: kvm, tls_port: 20006}
