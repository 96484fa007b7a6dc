# Takes the KVM host's half away again: service, account, files, rules. Consoles keep their definition.
consoles:
  spice_host.absent
