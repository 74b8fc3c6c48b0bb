//! Who can do this, who is this: bootstrap list, mDNS, Kademlia, merged with provenance.
