# Two vms on one server; each may be opened by one user.
spice:
  servers:
    mysrv:
      host: mysrv.anraconc.de
      addresses: [192.168.2.2]
      ports: 20001-20010
      ca: /etc/pki/spice/ca-cert.pem
  vms:
    debianx: {server: mysrv, tls_port: 20002}
    leaptest: {server: mysrv, tls_port: 20004}
  grants:
    myself-debianx: {user: myself, vm: debianx}
    mybro-leaptest: {user: mybro, vm: leaptest, nopasswd: true}
