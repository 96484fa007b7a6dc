"""What touches the KVM host: libvirt, the kernel's rules, the account by which desks ask, the program that answers."""
