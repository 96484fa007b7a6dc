# What every workstation has: the server whose ports are guarded, and the zone. No vms and no grants by itself.
spice:
  time: {zone: Europe/Berlin, longest_loan: 4h}
  servers:
    kvm:
      host: kvm.office.example
      addresses: [192.168.2.2]
      ports: 20001-20010
      ca: /etc/pki/spice/ca-cert.pem
  vms: {}
  grants: {}
